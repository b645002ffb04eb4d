"""Interleaved rounds, and the rows of the table that come of them."""

from __future__ import annotations

import gc
import statistics
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path


FSYNC: Final = "fsync"
"""What a durable commit on SQLite waits for, in the rows of those that write."""


class Setting(NamedTuple):
    """Where a benchmark may put files, and whether it should be quick rather than exact."""

    folder: Path
    quick: bool

    @property
    def rounds(self) -> int:
        """Rounds that count; one more comes before them and warms up."""
        return 3 if self.quick else 7

    def scaled(self, count: int) -> int:
        """Return ``count``, or a tenth of it where quick."""
        return count // 10 if self.quick else count


@dataclass(frozen=True, slots=True)
class Contestant:
    """One way to do the work. ``prepare`` makes ready what is not timed, and returns what is.

    ``durable`` says what a commit waits for, where something is written. ``around`` is open for
    each turn, untimed: for what would disturb the turns of the others.
    """

    name: str
    events: int
    prepare: Callable[[], Callable[[], Awaitable[None]]]
    durable: str = ""
    around: Callable[[], AbstractAsyncContextManager[object]] = nullcontext


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table.

    ``median`` and ``worst`` are over rounds or single samples, ``p99`` over samples only.
    ``ratio`` is the first row's value divided by this one's, taken within each round. ``durable``
    says what a commit waits for.
    """

    benchmark: str
    name: str
    unit: str
    median: float
    worst: float
    p99: float | None = None
    ratio: float | None = None
    durable: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Return the row as JSON-ready values."""
        return asdict(self)


async def measure(contestants: Sequence[Contestant], rounds: int) -> dict[str, list[float]]:
    """Run A B C A B C …, so that a machine's moods meet all alike; return events/s."""
    rates: dict[str, list[float]] = {one.name: [] for one in contestants}
    for counted in [False] + [True] * rounds:
        for one in contestants:
            async with one.around():
                run = one.prepare()
                gc.collect()
                began = time.perf_counter()
                await run()
                seconds = time.perf_counter() - began
            if counted:
                rates[one.name].append(one.events / seconds)
    return rates


def rate_rows(
    benchmark: str,
    rates: Mapping[str, Sequence[float]],
    unit: str = "events/s",
    contestants: Sequence[Contestant] = (),
    durable: str = "",
) -> list[Row]:
    """Return a row for each contestant, the first of which is ours.

    Of ``contestants`` each says by itself how durable it is; ``durable`` is for all the others.
    """
    ours = next(iter(rates.values()))
    each = {one.name: one.durable for one in contestants}
    return [
        Row(
            benchmark,
            name,
            unit,
            statistics.median(values),
            min(values),
            ratio=statistics.median(a / b for a, b in zip(ours, values, strict=True)),
            durable=each.get(name, durable),
        )
        for name, values in rates.items()
    ]


def latency_rows(benchmark: str, samples: Mapping[str, Sequence[float]]) -> list[Row]:
    """Return a row for each kind of sample, in milliseconds, the first of which is ours."""
    ours = statistics.median(next(iter(samples.values())))
    rows = []
    for name, values in samples.items():
        median = statistics.median(values)
        p99 = sorted(values)[min(len(values) - 1, int(len(values) * 0.99))]
        rows.append(Row(benchmark, name, "ms", median, max(values), p99, ours / median))
    return rows
