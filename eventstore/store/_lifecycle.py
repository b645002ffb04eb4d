"""Opening and closing a store: all of it or nothing, once, also where callers are cancelled."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

from eventstore.errors import StoreClosedError
from eventstore.store._log_access import State
from eventstore.store._writer import CLOSE_SECONDS, HURRIED_SECONDS
from eventstore.system.owners import close_beside

if TYPE_CHECKING:
    from eventstore.changes.feed import ChangeFeed
    from eventstore.notify.protocol import Notifier
    from eventstore.store._log_access import LogAccess
    from eventstore.store._queries import Queries
    from eventstore.store._writer import Writer


def process_name() -> str:
    """Return what names this process, as ``host:pid``."""
    return f"{socket.gethostname()}:{os.getpid()}"


class Lifecycle:
    """Opens the parts of a store in the event loop that runs then, and closes them there."""

    def __init__(
        self,
        log: LogAccess,
        feed: ChangeFeed,
        writer: Writer,
        notifier: Notifier,
        queries: Queries,
    ) -> None:
        self._log = log
        self._feed = feed
        self._writer = writer
        self._notifier = notifier
        self._queries = queries

    async def open(self, *, create: bool) -> None:
        """Open everything; where that fails or is cancelled, leave nothing open.

        Raises StoreClosedError at a second call, ForkedError and WrongLoopError.
        """
        log = self._log
        log.guard.check()
        await log.how.bind(log.guard)
        if log.state is not State.NEW:
            raise StoreClosedError("a store is entered once: call EventStore.open again")
        log.state = State.OPENING
        self._changing = log.how.lock()
        async with self._changing:
            try:
                await log.open(create=create)
            except BaseException:
                log.state = State.CLOSED
                raise
            call = log.how.caller()
            self._feed.start(call, process_name())
            feed = self._feed
            self._writer.start(call, feed.committed, feed.consumers.take_away, feed.wants_batches)
            log.state = State.OPEN

    async def close(self) -> None:
        """Close everything, once it is open; return once that is done, whichever task does it.

        Does nothing where it was never opened. Raises ForkedError and WrongLoopError.
        """
        log = self._log
        log.guard.check()
        if log.state is State.NEW:
            return
        seconds = HURRIED_SECONDS if log.how.cancelled() else CLOSE_SECONDS
        close = partial(self._close_parts, seconds)
        with log.how.shield():
            async with self._changing:
                if log.state is State.OPEN:
                    log.state = State.CLOSED
                    await log.how.run_to_end(close, None, "eventstore-close")

    def abandon(self) -> bool:
        """Begin to close what was left open, beside the program; return whether anything was.

        For a store that is being collected, in any thread, a writer's own among them.
        """
        if self._log.state is not State.OPEN or self._log.guard.forked:
            return False
        self._log.state = State.CLOSED
        close_beside(self._close_parts)
        return True

    def _close_parts(self, seconds: float = CLOSE_SECONDS) -> None:
        with ExitStack() as last:
            last.callback(self._log.backend.close)
            last.callback(self._notifier.close)
            last.callback(self._feed.changed.set)
            last.callback(self._queries.end)
            self._writer.close(seconds)
