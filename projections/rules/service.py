"""An open log of rules with everything that has to run beside it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import anyio

from eventstore.errors import EventStoreError, StoreClosedError
from projections.rules.expiry import StateExpiry
from projections.rules.sources.source_error import SourceMissingError
from projections.rules.store import RuleStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore import EventStore
    from projections.rules.model import CompiledRule
    from projections.rules.sources.sync import RuleSync

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0
"""How long work that failed waits before it is begun again."""


class RuleService:
    """A log of rules that ends its states on time and follows its directory.

    A :class:`~projections.seams.background_store.AsyncStore`: everything here runs in the one
    event loop that opens it.
    """

    def __init__(
        self,
        make_log: Callable[[], EventStore],
        make_sync: Callable[[EventStore], RuleSync] | None,
    ) -> None:
        self._make_log = make_log
        self._make_sync = make_sync
        self._sync: RuleSync | None = None
        self._looks = 0
        self._trouble: EventStoreError | None = None

    async def open(self) -> None:
        """Open the log."""
        self._looking = anyio.Lock()
        self._log = await self._make_log().__aenter__()
        try:
            self.rules = RuleStore(self._log)
            self._sync = self._make_sync(self._log) if self._make_sync is not None else None
        except BaseException:
            await self._log.aclose()
            raise

    @property
    def owner(self) -> str:
        """Names this process."""
        return self._log.owner

    async def work(self) -> None:
        """End states whose time has come, and follow the directory, until cancelled."""
        async with anyio.create_task_group() as work:
            work.start_soon(_keep_running, "expiry", lambda: StateExpiry(self._log).run())
            work.start_soon(self._follow_directory)

    async def close(self) -> None:
        """Close the log."""
        await self._log.aclose()

    async def load_compiled(self) -> list[CompiledRule]:
        """Load the rules, once the directory has been looked at.

        If that failed, rules known from before still stand, and a warning says why. Without
        any, a directory that is missing has none, and other trouble is raised.
        """
        trouble = await self._look()
        rules = await self.rules.load_compiled()
        if trouble is not None:
            if not rules and not isinstance(trouble, SourceMissingError):
                raise trouble
            if rules:
                log.warning("%s; the log's %d rules are used as they are", trouble, len(rules))
            else:
                log.warning("%s; there are no rules until it comes", trouble)
        return rules

    async def _look(self) -> EventStoreError | None:
        """Look at the directory unless that was done; return why it could not be.

        A look that fails answers every caller that waited for it: each look may take seconds.
        """
        looks = self._looks
        async with self._looking:
            if self._sync is None or self._looks != looks:
                return self._trouble
            self._trouble = None
            try:
                report = await self._sync.sync_once()
            except StoreClosedError:
                raise
            except EventStoreError as error:
                self._trouble = error
            else:
                if report.waiting:
                    log.warning("%d changes wait: the directory is not at rest", report.waiting)
                self._sync = None
            self._looks += 1
            return self._trouble

    async def _follow_directory(self) -> None:
        if self._make_sync is None:
            return
        make = self._make_sync
        await self._look()
        await _keep_running("sync", lambda: make(self._log).run())


async def _keep_running(what: str, run: Callable[[], Awaitable[None]]) -> None:
    """Run background work, again after trouble, until the store is closed."""
    while True:
        try:
            await run()
        except StoreClosedError:
            return
        except EventStoreError as error:
            log.warning("%s: %s; trying again", what, error)
        await anyio.sleep(RETRY_SECONDS)
