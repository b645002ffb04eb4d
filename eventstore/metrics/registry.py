"""All metrics of one store as text for Prometheus, by the library prometheus-client."""

from __future__ import annotations

import logging
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore.errors import AccessDeniedError, EventStoreError, NotServedError
from eventstore.metrics.model import Distribution, Metric, single
from eventstore.metrics.store_metrics import consumer_metrics, log_metrics, process_metrics
from eventstore.system.extras import needs_extra

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from eventstore.metrics.model import Collector
    from eventstore.store.event_store import EventStore

log = logging.getLogger(__name__)

OWN: Final[Mapping[str, Collector]] = {
    "log": log_metrics,
    "consumers": consumer_metrics,
    "process": process_metrics,
}
"""The collectors of the log itself, by name."""


class Metrics:
    """The metrics of an open store: its own, and those of ``collectors``, by their names.

    Appends are counted from here on. A collector that fails leaves its metrics out, and is shown
    by ``eventstore_collector_failed``. Raises ConfigError where prometheus-client is not installed.
    """

    def __init__(
        self, store: EventStore, collectors: Mapping[str, Collector] | None = None
    ) -> None:
        with needs_extra("metrics", "metrics"):
            import prometheus_client  # noqa: PLC0415 - an extra
            from prometheus_client import core  # noqa: PLC0415
        self._library: Any = prometheus_client
        self._core: Any = core
        self._store = store
        self._collectors = {**OWN, **(collectors or {})}
        self._process = prometheus_client.ProcessCollector(registry=None)
        self._one_at_a_time = anyio.Lock()
        self._said: dict[str, str] = {}
        store.feed.log.writer.count()

    @property
    def media_type(self) -> str:
        """The media type of :meth:`text`."""
        return str(self._library.CONTENT_TYPE_LATEST)

    async def text(self) -> bytes:
        """Return all metrics as they are now."""
        async with self._one_at_a_time:
            found = await self._families()
        families = [*found, *self._process.collect()]
        return bytes(self._library.generate_latest(_Collected(families)))

    async def _families(self) -> list[Any]:
        """Return all metrics as prometheus-client has them, but for those of the process."""
        failed: dict[str, bool] = {}
        families: dict[str, Any] = {}
        left_out = 0
        for name, collect in self._collectors.items():
            try:
                metrics = await collect(self._store)
                new = {metric.name: self._family(metric) for metric in metrics}
                if taken := new.keys() & families.keys():
                    raise ValueError(f"another collector has {sorted(taken)}")  # noqa: TRY301
            except Exception as error:
                if _is_the_servers(error):
                    continue
                failed[name] = True
                self._say(name, error)
                continue
            failed[name] = False
            self._said.pop(name, None)
            families |= new
            left_out += sum(max(0, len(metric.samples) - metric.limit) for metric in metrics)
        return [*families.values(), *map(self._family, about_collecting(failed, left_out))]

    def _say(self, name: str, error: Exception) -> None:
        """Log why a collector failed, once for each reason."""
        reason = f"{type(error).__name__}: {error}"
        if self._said.get(name) != reason:
            known = isinstance(error, EventStoreError)
            log.warning("metrics of %r are left out: %s", name, reason, exc_info=not known)
        self._said[name] = reason

    def _family(self, metric: Metric) -> Any:
        core = self._core
        kinds = {
            "gauge": core.GaugeMetricFamily,
            "counter": core.CounterMetricFamily,
            "histogram": core.HistogramMetricFamily,
        }
        family = kinds[metric.kind](metric.name, metric.help, labels=metric.labels)
        for labels, value in metric.samples[: metric.limit]:
            if isinstance(value, Distribution):
                buckets = [(_bound(bound), count) for bound, count in value.cumulative()]
                family.add_metric(labels, buckets, value.total)
            else:
                family.add_metric(labels, value)
        return family


class _Collected:
    """What prometheus-client writes as text: families that are there already."""

    def __init__(self, families: Sequence[Any]) -> None:
        self._families = families

    def collect(self) -> Sequence[Any]:
        """Return them."""
        return self._families


def about_collecting(failed: Mapping[str, bool], left_out: int) -> list[Metric]:
    """Return the metrics of the reading itself: which collectors failed, what was left out."""
    return [
        Metric(
            "eventstore_build_info",
            "The version that runs.",
            labels=("version",),
            samples=[((version("ruletide"),), 1)],
        ),
        Metric(
            "eventstore_collector_failed",
            "1 where metrics are left out because they could not be read.",
            labels=("collector",),
            samples=[((name,), int(value)) for name, value in failed.items()],
        ),
        single(
            "eventstore_series_left_out",
            "Series beyond the first ones of a metric, which are not shown.",
            left_out,
        ),
    ]


def _is_the_servers(error: Exception) -> bool:
    """Whether a store by URL may not read this: its server shows these metrics."""
    return isinstance(error, NotServedError) or (
        isinstance(error, AccessDeniedError) and error.status == 403
    )


def _bound(bound: float) -> str:
    return "+Inf" if bound == float("inf") else str(bound)
