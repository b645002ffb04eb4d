"""An open log of rules with everything that has to run beside it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

import anyio

from eventstore.errors import EventStoreError, StoreClosedError
from projections.rules.expiry import StateExpiry
from projections.rules.store import RuleStore

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup, TaskStatus

    from eventstore import EventStore
    from projections.rules.model import CompiledRule
    from projections.rules.sources.sync import RuleSync

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_SECONDS = 1.0
"""How long work that failed waits before it is begun again."""


class RuleHome:
    """Opens a log at its first use, ends its states on time and follows its directory.

    Everything here runs in the one event loop that ``tasks`` belongs to. Opening that
    fails, or whose caller is cancelled, is tried again at the next use.
    """

    def __init__(
        self,
        tasks: TaskGroup,
        make_log: Callable[[], EventStore],
        make_sync: Callable[[EventStore], RuleSync] | None,
    ) -> None:
        self._tasks = tasks
        self._make_log = make_log
        self._make_sync = make_sync
        self._opening: anyio.Lock | None = None
        self._open = False
        self._sync: RuleSync | None = None

    async def use(self, function: Callable[[RuleHome], Awaitable[T]]) -> T:
        """Open what is not open yet, and run a function with it."""
        if self._opening is None:
            self._opening = anyio.Lock()
            self._looking = anyio.Lock()
        async with self._opening:
            if not self._open:
                await self._tasks.start(self._serve)
        return await function(self)

    async def load_compiled(self) -> list[CompiledRule]:
        """Load the rules, once the directory has been looked at.

        If that failed, rules known from before still stand; without any, raises why.
        """
        trouble = await self._look()
        rules = await self.rules.load_compiled()
        if trouble is not None and not rules:
            raise trouble
        return rules

    async def _look(self) -> EventStoreError | None:
        """Look at the directory unless that was done; return why it could not be."""
        async with self._looking:
            if self._sync is not None:
                try:
                    await self._sync.sync_once()
                except StoreClosedError:
                    raise
                except EventStoreError as error:
                    return error
                self._sync = None
        return None

    async def _serve(self, *, task_status: TaskStatus[None]) -> None:
        """Hold the log open with its work until the end of the process."""
        try:
            async with self._make_log() as store:
                self.rules = RuleStore(store)
                self._sync = self._make_sync(store) if self._make_sync is not None else None
                async with anyio.create_task_group() as work:
                    work.start_soon(_keep_running, "expiry", lambda: StateExpiry(store).run())
                    work.start_soon(self._follow_directory, store)
                    self._open = True
                    task_status.started()
        except Exception:
            if not self._open:
                raise  # The caller is told.
            log.exception("the rule store failed; it is opened again at its next use")
        finally:
            self._open = False

    async def _follow_directory(self, store: EventStore) -> None:
        if self._make_sync is None:
            return
        make = self._make_sync
        await self._look()
        await _keep_running("sync", lambda: make(store).run())


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
