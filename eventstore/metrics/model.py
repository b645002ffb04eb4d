"""What a metric is, for the packages that give metrics: no library is needed to make one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from eventstore.system.distribution import Distribution

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventstore.store.event_store import EventStore

__all__ = ["MAX_SERIES", "Collector", "Distribution", "Metric", "Sample", "single"]

MAX_SERIES: Final = 100
"""Series that are shown of one metric, where it says nothing else."""

Sample: TypeAlias = "tuple[tuple[str, ...], float | Distribution]"
"""The values of a metric's labels, and the number that belongs to them."""


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric with its series.

    ``name`` is the name that Prometheus shows, with its unit: ``shop_orders_total``. ``labels``
    name what tells its series apart; the values must come from few: consumers, views, sources,
    never streams. Of the ``samples`` the first ``limit`` are shown, so those that matter most come
    first. A ``histogram`` has samples that are a :class:`Distribution`.
    """

    name: str
    help: str
    kind: Literal["gauge", "counter", "histogram"] = "gauge"
    labels: tuple[str, ...] = ()
    samples: Sequence[Sample] = ()
    limit: int = MAX_SERIES


Collector: TypeAlias = "Callable[[EventStore], Awaitable[Sequence[Metric]]]"
"""Gives metrics of an open store, each of them every time, also where it has no series."""


def single(
    name: str, help_: str, value: float | Distribution | None, kind: str = "gauge"
) -> Metric:
    """Return a metric without labels; without a series where the value is ``None``."""
    samples = () if value is None else (((), value),)
    return Metric(name, help_, kind, (), samples)  # type: ignore[arg-type]
