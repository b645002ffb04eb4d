"""``--metrics``: the metrics of a command that runs on, for Prometheus."""

from __future__ import annotations

from contextlib import ExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Final, Self

import anyio
import typer

from eventstore.cli.contributions import contributions
from eventstore.system.extras import needs_extra
from eventstore.system.listening import listen, place_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from eventstore.cli.session import Session
    from eventstore.metrics.model import Collector
    from eventstore.store.event_store import EventStore

Address = Annotated[
    str | None,
    typer.Option(
        "--metrics", metavar="HOST:PORT", help="Show metrics for Prometheus at /metrics there."
    ),
]

_REFUSED: Final = (
    "and everyone there could read the metrics: give EVENTSTORE_METRICS_TOKEN or "
    "EVENTSTORE_METRICS_TOKEN_FILE, or listen on 127.0.0.1"
)


def contributed_collectors() -> dict[str, Collector]:
    """Return the collectors of the installed packages, by name."""
    return {name: one.load(one.item.path) for name, one in contributions().metrics.items()}


class MetricsEndpoint:
    """An async context: the address of ``--metrics``, taken before a log is opened.

    Entering raises ConfigError for an address that cannot be used. Without one it does nothing.
    """

    def __init__(self, session: Session, address: str | None) -> None:
        self._session = session
        self._address = address
        self._undo = ExitStack()

    async def __aenter__(self) -> Self:
        if self._address is None:
            return self
        with needs_extra("metrics", "--metrics"):
            import prometheus_client  # noqa: F401, PLC0415 - before a log is made
        from eventstore.metrics.guard import Guard  # noqa: PLC0415 - only where it is asked for

        self._guard = Guard.of(self._session.settings.metrics)
        refused = "" if self._guard.token else _REFUSED
        self._opened = self._undo.enter_context(
            listen("--metrics", self._address, refuse_others=refused)
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        self._undo.close()

    @asynccontextmanager
    async def serving(self, store: EventStore) -> AsyncIterator[None]:
        """Serve the metrics of an open store within the block."""
        if self._address is None:
            yield
            return
        from eventstore.metrics.endpoint import serve_metrics  # noqa: PLC0415 - an extra
        from eventstore.metrics.registry import Metrics  # noqa: PLC0415

        metrics = Metrics(store, contributed_collectors())
        scheme = "http" if self._guard.tls is None else "https"
        self._session.output.note(f"metrics are at {scheme}://{place_of(self._opened)}/metrics")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve_metrics, self._opened, metrics, self._guard)
            yield
            tasks.cancel_scope.cancel()
