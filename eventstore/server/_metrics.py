"""Numbers of the log, its consumers and the requests, for Prometheus.

Labels are routes and names of consumers, never what a request says: a client cannot make series.
"""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from eventstore.server._problems import HttpError

if TYPE_CHECKING:
    from eventstore.store.event_store import EventStore

SHOWN_CONSUMERS: Final = 100
"""Consumers with a series of their own, those that are furthest behind."""


class Metrics:
    """Counters of one server, which uses prometheus-client where that is installed."""

    def __init__(self) -> None:
        try:
            import prometheus_client  # noqa: PLC0415 - an extra
        except ImportError:
            self._library: Any = None
            return
        self._library = library = prometheus_client
        self._registry = library.CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = library.Counter(
            "eventstore_requests", "Requests answered.", labels, registry=self._registry
        )
        self._seconds = library.Histogram(
            "eventstore_request_seconds",
            "Seconds from a request to the beginning of its answer.",
            ("method", "route"),
            registry=self._registry,
        )

    def answered(self, method: str, route: str, status: int, begun: float) -> None:
        """Count a request that began at a time of ``perf_counter``."""
        if self._library is not None:
            self._requests.labels(method, route, str(status)).inc()
            self._seconds.labels(method, route).observe(perf_counter() - begun)

    async def text(self, store: EventStore, followers: int) -> tuple[bytes, str]:
        """Return all numbers as they are now, with their media type; HttpError 501 without them."""
        if self._library is None:
            raise HttpError(
                501, "metrics need the extra 'metrics': pip install 'ruletide[metrics]'"
            )
        library = self._library
        now = library.CollectorRegistry()

        def gauge(name: str, help_: str, *labels: str) -> Any:
            return library.Gauge(f"eventstore_{name}", help_, labels, registry=now)

        status = await store.status(consumers=SHOWN_CONSUMERS)
        gauge("log_position", "Position of the newest event.").set(status["position"])
        gauge("log_first_position", "Position of the oldest event that is there.").set(
            status["first_position"]
        )
        gauge("streams_open", "Live streams and waiting requests.").set(followers)
        lag = gauge("consumer_lag_events", "Events that a consumer has not done.", "consumer")
        for consumer in status["consumers"]:
            lag.labels(consumer["name"]).set(consumer["lag"])
        view_lag = gauge("view_lag_events", "Events that a view does not show.", "view")
        for view in status["views"]:
            view_lag.labels(view["name"]).set(view["lag"])
        body = library.generate_latest(now) + library.generate_latest(self._registry)
        return body, library.CONTENT_TYPE_LATEST
