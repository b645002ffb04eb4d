"""Tells a log what a worker runs: soon after each change, and as a heartbeat."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Protocol

import anyio

from eventstore.errors import EventStoreError, StoreClosedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable, Mapping

log = logging.getLogger(__name__)

HEARTBEAT_SECONDS: Final = 30.0
"""Seconds between two reports of a worker for which nothing changes."""

GATHER_SECONDS: Final = 0.05
"""Seconds after a change in which others join its report."""

PAUSE_SECONDS: Final = 0.5
"""Seconds between two reports, however many changes come."""


class TellsLoaded(Protocol):
    """A rule store, as far as it takes reports."""

    async def report_loaded(
        self,
        loaded: Iterable[Any],
        *,
        rejected: Mapping[str, object] | None = None,
        engine: str = "",
        version: str = "",
        worker: str | None = None,
    ) -> object:
        """Tell which rules are loaded."""


class Heartbeat:
    """Calls ``tell`` again and again: what the log's database raises ends nothing."""

    def __init__(self, tell: Callable[[], Awaitable[object]], seconds: float) -> None:
        self._tell = tell
        self._seconds = seconds
        self._changed = anyio.Event()
        self._trouble = ""

    def changed(self) -> None:
        """Say that something has changed since the last report; called in the event loop."""
        self._changed.set()

    async def run(self) -> None:
        """Report until cancelled, or until the store is closed."""
        while True:
            self._changed = anyio.Event()
            try:
                await self._tell()
                self._trouble = ""
            except StoreClosedError:
                return
            except EventStoreError as error:
                if str(error) != self._trouble:
                    log.info("the log is not told what is loaded: %s", error)
                self._trouble = str(error)
            await anyio.sleep(PAUSE_SECONDS)
            with anyio.move_on_after(self._seconds):
                await self._changed.wait()
                await anyio.sleep(GATHER_SECONDS)


class LoadedReporter(Heartbeat):
    """Reports what an engine runs, by the ``report_loaded`` of its rule store.

    Run :meth:`run` beside the engine and call :meth:`changed` after each change that it has taken
    in. ``loaded`` returns the rules that it runs now, or their ids, and ``rejected`` the reason for
    each that it cannot run. ``engine`` and ``version`` name it; ``worker`` is the name that
    operators see, by default the store's ``consumer``, else ``host:pid``. ``seconds`` are those of
    the heartbeat.
    """

    def __init__(
        self,
        rules: TellsLoaded,
        loaded: Callable[[], Iterable[Any]],
        *,
        rejected: Callable[[], Mapping[str, object]] = dict,
        engine: str = "",
        version: str = "",
        worker: str | None = None,
        seconds: float = HEARTBEAT_SECONDS,
    ) -> None:
        async def tell() -> None:
            await rules.report_loaded(
                list(loaded()),
                rejected=rejected(),
                engine=engine,
                version=version,
                worker=worker,
            )

        super().__init__(tell, seconds)
