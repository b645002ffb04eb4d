"""Metrics of one server: those of its store, and counts of its requests.

Labels are methods, routes and statuses, never what a request says: a client cannot make series.
"""

from __future__ import annotations

from collections import Counter
from time import perf_counter
from typing import TYPE_CHECKING, Final

from eventstore.errors import ConfigError
from eventstore.metrics.model import Distribution, Metric, single
from eventstore.metrics.registry import Metrics
from eventstore.server._problems import HttpError
from eventstore.system.distribution import SECONDS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore.metrics.model import Collector
    from eventstore.store.event_store import EventStore

REQUEST_SERIES: Final = 1_000
"""Series of requests that are shown: routes, and the statuses that they have answered with."""


class ServerMetrics:
    """Counts of one server's requests, and the metrics of its store and of ``collectors``."""

    def __init__(self, store: EventStore, collectors: Mapping[str, Collector]) -> None:
        self._requests: Counter[tuple[str, str, str]] = Counter()
        self._seconds: dict[tuple[str, str], Distribution] = {}
        self.streams = 0
        """Live streams and waiting requests now."""
        try:
            self._metrics = Metrics(store, {**collectors, "requests": self.read})
        except ConfigError as error:
            self._missing: ConfigError | None = error
        else:
            self._missing = None

    def answered(self, method: str, route: str, status: int, begun: float) -> None:
        """Count a request that began at a time of ``perf_counter``."""
        self._requests[method, route, str(status)] += 1
        seconds = self._seconds.get((method, route))
        if seconds is None:
            seconds = self._seconds[method, route] = Distribution(SECONDS)
        seconds.add(perf_counter() - begun)

    async def read(self, _store: EventStore) -> list[Metric]:
        """Return the counts of requests; see Collector."""
        labels = ("method", "route", "status")
        return [
            Metric(
                "eventstore_requests_total",
                "Requests answered.",
                "counter",
                labels,
                self._requests.most_common(),
                REQUEST_SERIES,
            ),
            Metric(
                "eventstore_request_seconds",
                "Seconds from a request to the beginning of its answer.",
                "histogram",
                labels[:2],
                list(self._seconds.items()),
                REQUEST_SERIES,
            ),
            single("eventstore_streams_open", "Live streams and waiting requests.", self.streams),
        ]

    async def text(self) -> tuple[bytes, str]:
        """Return all numbers as they are now, with their media type; HttpError 501 without them."""
        if self._missing is not None:
            raise HttpError(501, str(self._missing))
        return await self._metrics.text(), self._metrics.media_type
