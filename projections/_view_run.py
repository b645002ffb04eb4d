"""One projection of a runner: the log applied up to its head, and then each new commit."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

import anyio

from eventstore.errors import HistoryGoneError, StorageError
from eventstore.log.inline_projection import archive_advice, is_named_by_trims
from eventstore.log.operations import TRIMS, Query
from eventstore.log.spans import handling_span
from eventstore.log.trim_notices import keeps_for
from eventstore.system.event_loop import run_to_end
from projections._retries import Retries
from projections.elsewhere import ElsewhereNote
from projections.protocol import OutdatedViewError
from projections.troubles import TroubleNote

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Sequence

    from eventstore import Cursor, Event, EventStore, Subscription
    from eventstore.log.operations import Head
    from projections._shared_pages import PageReader
    from projections.protocol import EventFilter, Healing, Journalled, Projection

log = logging.getLogger(__name__)
T = TypeVar("T")

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the position reached and the position aimed at."""

BATCH_EVENTS: Final = 2_000
"""Events applied at once while catching up; a batch ends where a commit ends."""

THREAD: Final = "eventstore-projection"
"""The name of the threads that open and close projections."""

HEAL_SECONDS: Final = 5.0
"""Seconds between two checks of ``run`` for what another program changed in the projection."""


COMPACT_SECONDS: Final = 1.0
"""Seconds after which ``run`` has a projection write whole what it keeps in a journal."""


class ViewRun:
    """Applies the log to one projection; :class:`projections.ProjectionRunner` says what it raises.

    ``pages`` reads the log. ``writing`` is taken for each write where other projections of the
    runner are written to the same place, one at a time.
    """

    def __init__(
        self,
        store: EventStore,
        projection: Projection,
        pages: PageReader,
        writing: anyio.Lock | None,
        progress: Progress | None,
        heal_seconds: float,
    ) -> None:
        self.name = projection.name
        self.pages = pages
        self._store = store
        self._projection = projection
        self._writing = writing
        self._progress = progress
        self._heal_seconds = heal_seconds
        self._has_turn = False
        make_filter = getattr(projection, "event_filter", None)
        self._filter: EventFilter | None = make_filter and make_filter(store, projection.name)
        self._rebuilding: int | None = None
        self._batch = max(BATCH_EVENTS, getattr(projection, "batch_events", 0))
        self._limiter = anyio.CapacityLimiter(1)
        self._turn = threading.Lock()
        self._retries = Retries(projection.name)
        self._elsewhere = ElsewhereNote(store, projection)

    @property
    def trouble(self) -> str:
        """Why ``run`` is waiting to try again; empty while the projection works."""
        return self._retries.trouble

    async def catch_up(self, until: int | None = None) -> Cursor:
        """Apply every commit that ends at or before ``until``, and heal."""
        async with self._owned() as start:
            head = await self._store.head()
            if until is not None and start is not None and start.position > until:
                return await self._rebuild(head, until)
            cursor = await self._advance(head, start, until)
            await self._heal()
            return cursor

    async def run(
        self, *, persist: bool = False, stopped: Callable[[Exception], None] | None = None
    ) -> None:
        """Catch up, then apply each commit as it comes, and heal; until cancelled.

        What ends the run is raised; or given to ``stopped``, and told until it is cancelled.
        """
        self._store.check_open()
        self._retries.begin()
        note = TroubleNote(self._store, self._projection)
        await self._in_thread(note.open)
        try:
            await self._run_with(note, persist=persist)
        except Exception as error:
            if stopped is None:
                raise
            self._retries.stop(error)
            stopped(error)
            while True:
                await self._in_thread(note.tell, self._retries.trouble)
                await anyio.sleep(self._heal_seconds)
        finally:
            with anyio.CancelScope(shield=True):
                await run_to_end(partial(self._in_turn, note.close), name=THREAD)

    async def _run_with(self, note: TroubleNote, *, persist: bool) -> None:
        open_ = self._projection.open
        while True:
            try:
                async with self._owned(open_) as start:
                    self._retries.opened()
                    open_ = getattr(self._projection, "reopen", open_)
                    await self._keep(start, note)
            except Exception as error:
                pause = self._retries.pause_after(error, persist=persist)
            await self._in_thread(note.tell, self._retries.trouble)
            await anyio.sleep(pause)

    async def _keep(self, start: Cursor | None, note: TroubleNote) -> None:
        """Apply and heal without an end, from ``start``."""
        cursor = await self._advance(await self._store.head(), start, None)
        while True:
            await self._heal()
            if self._retries.succeeded():
                await self._in_thread(note.tell, "")
            await self._elsewhere.tell(self._in_thread)
            subscription = self._store.subscribe_changes(after=cursor)
            try:
                async with subscription:
                    await self._follow(subscription)
            except OutdatedViewError as error:
                log.info("%s", error)
                cursor = await self._rebuild(await self._store.head(), None)
            except HistoryGoneError:
                cursor = await self._advance_past_trims(subscription.cursor)

    async def _advance_past_trims(self, start: Cursor | None) -> Cursor:
        """Continue from before the first position, also while the log is trimmed again.

        Raises HistoryGoneError where there is no snapshot.
        """
        while True:
            head = await self._store.head()
            try:
                return await self._advance(head, start, None)
            except HistoryGoneError:
                if (await self._store.head()).first_position == head.first_position:
                    raise

    async def _follow(self, subscription: Subscription) -> None:
        heal_at = time.monotonic() + self._heal_seconds
        while True:
            await self._write_each(subscription, heal_at)
            if self._has_journal:
                with anyio.CancelScope(shield=True):
                    await self._in_thread(cast("Journalled", self._projection).compact)
            if self._elsewhere.is_due:
                await self._elsewhere.tell(self._in_thread)
            if time.monotonic() >= heal_at:
                await self._heal()
                heal_at = time.monotonic() + self._heal_seconds

    async def _write_each(self, subscription: Subscription, until: float) -> None:
        """Write commits as they come; return at ``until``, or when a journal is to be compacted.

        A read is not cut short: where each took longer than that, none would ever end.
        """
        commits = subscription.commits()
        while True:
            if self._has_journal:
                until = min(until, time.monotonic() + COMPACT_SECONDS)
            subscription.give_up_at(until)
            try:
                reached, events = await anext(commits)
            except StopAsyncIteration:
                return
            except StorageError as error:
                if not error.transient:
                    raise
                return  # Following goes on once the log can be read again.
            await self._write(events, reached)
            if time.monotonic() >= until:
                return

    @property
    def _has_journal(self) -> bool:
        return bool(getattr(self._projection, "has_journal", False))

    async def rebuild(self, until: int | None = None) -> Cursor:
        """Compute the projection again from the first event."""
        async with self._owned(replace_newer=True):
            return await self._rebuild(await self._store.head(), until)

    @asynccontextmanager
    async def held(self) -> AsyncIterator[Callable[[], Awaitable[Cursor]]]:
        """Own the projection while entered; calling the result applies everything."""
        async with self._owned() as cursor:

            async def advance() -> Cursor:
                nonlocal cursor
                cursor = await self._advance(await self._store.head(), cursor, None)
                return cursor

            yield advance

    async def _advance(self, head: Head, start: Cursor | None, until: int | None) -> Cursor:
        """Continue from ``start``; rebuild where that is not possible.

        That is so after a trim past it, for tables of another version and after a redaction.
        """
        trimmed = start is None or start.position < head.first_position - 1
        if getattr(self._projection, "outdated", False) or (head.first_position > 1 and trimmed):
            return await self._rebuild(head, until)
        try:
            return await self._apply(head, start, until)
        except OutdatedViewError as error:
            log.info("%s", error)
            return await self._rebuild(await self._store.head(), until)

    async def _rebuild(self, head: Head, until: int | None) -> Cursor:
        self._rebuilding = head.position if until is None else until
        try:
            async with self._write_turn():
                await self._in_thread(self._projection.begin_rebuild)
                cursor = await self._apply(head, None, until)
                if until is None:
                    # Appended meanwhile: readers may have seen it already.
                    cursor = await self._apply(await self._store.head(), cursor, None)
                await self._in_thread(self._projection.finish_rebuild)
                return cursor
        finally:
            self._rebuilding = None

    async def _apply(self, head: Head, cursor: Cursor | None, until: int | None) -> Cursor:
        """Apply from ``cursor`` up to ``until``, a batch of whole commits at a time."""
        target = head.position if until is None else min(until, head.position)
        kept = head.first_position - 1 if cursor is None else 0
        if cursor is None:
            await self._check_start(head, target)
            page = await self._store.feed.page(Query(after=0, until=0, kept=True))
            cursor = page.through
            await self._write([], cursor)
        elif cursor.position >= target:
            # Nothing is left to apply: a log restored from a copy ends earlier.
            at = cursor.position
            await self._store.feed.page(Query(after=at, until=at, limit=1, expect=cursor))
        while cursor.position < target:
            page = await self.pages.page(
                Query(
                    after=cursor.position,
                    until=target,
                    limit=self._batch,
                    whole_commits=True,
                    expect=cursor,
                    kept=cursor.position < kept,
                )
            )
            if page.head.first_position != head.first_position and cursor.position < kept:
                reason = "it was trimmed during the rebuild: again"
                raise HistoryGoneError(cursor.position, page.head.first_position, reason)
            if page.through == cursor:
                break  # The rest of the range is the beginning of a commit that ends past it.
            await self._write(page.events, page.through)
            cursor = page.through
            del page  # It may be large, and is not kept while the next one is read.
            if self._progress is not None:
                self._progress(cursor.position, target)
        self.pages.leave()  # Also where the projection goes on being owned.
        return cursor

    async def _write(self, events: Sequence[Event], cursor: Cursor) -> None:
        # A cancelled wait would leave the thread running without its result. One for the turn
        # would lose the events: the subscription has given them out, and goes on after them.
        with anyio.CancelScope(shield=True):
            if self._filter is not None:
                events = await self._filter.in_force(events, self._rebuilding)
            async with self._write_turn():
                with handling_span("apply", self.name, events):
                    await self._in_thread(self._projection.apply, events, cursor)
        if self._elsewhere.is_due:
            await self._elsewhere.tell(self._in_thread)

    @asynccontextmanager
    async def _write_turn(self) -> AsyncIterator[None]:
        """Take a turn at writing to the place, where it is shared; within one, do nothing."""
        if self._writing is None or self._has_turn:
            yield
            return
        async with self._writing:
            self._has_turn = True
            try:
                yield
            finally:
                self._has_turn = False

    async def _check_start(self, head: Head, target: int) -> None:
        """Raise HistoryGoneError where the projection needs events that were trimmed."""
        first = head.first_position
        if first == 1:
            return
        if not getattr(self._projection, "from_snapshot", False):
            raise HistoryGoneError(0, first, archive_advice(self._projection.name))
        if target < first - 1:
            reason = f"the projection as of {target} is in the archive that {TRIMS!r} names"
            raise HistoryGoneError(target, first, reason)
        if is_named_by_trims(self._projection):
            async for notice in self._store.read(streams=TRIMS, kept=True):
                if not keeps_for(notice, self._projection.name):
                    raise HistoryGoneError(0, first, archive_advice(self._projection.name))

    async def _heal(self) -> None:
        if not hasattr(self._projection, "damaged"):
            return
        projection = cast("Healing", self._projection)
        positions = await self._in_thread(projection.damaged)
        if not positions:
            return
        log.warning("%s: repairing %d files", self._projection.name, len(positions))
        events = [
            event
            for position in positions
            for event in (
                await self._store.feed.page(Query(after=position - 1, until=position, kept=True))
            ).events
        ]
        await self._in_thread(projection.mend, events)

    @asynccontextmanager
    async def _owned(
        self,
        open_: Callable[[str], Cursor | None] | None = None,
        *,
        replace_newer: bool = False,
    ) -> AsyncIterator[Cursor | None]:
        head = await self._store.head()
        if hasattr(self._projection, "replace_newer"):
            self._projection.replace_newer = replace_newer
        close = partial(self._in_turn, self._projection.close)
        open_it = partial(self._in_turn, open_ or self._projection.open, head.log_id)
        try:
            async with self._write_turn():
                cursor = await run_to_end(open_it, close, name=THREAD)
        except BaseException:
            self.pages.leave()
            raise
        self._elsewhere.begin(head.log_id)
        works = True
        try:
            yield cursor
        except (StorageError, OSError):
            works = False
            raise
        finally:
            self.pages.leave()
            with anyio.CancelScope(shield=True):
                if works:
                    await self._elsewhere.tell(self._in_thread)
                await run_to_end(close, name=THREAD)

    async def _in_thread(self, function: Callable[..., T], *args: Any) -> T:
        return await anyio.to_thread.run_sync(self._in_turn, function, *args, limiter=self._limiter)

    def _in_turn(self, function: Callable[..., T], *args: Any) -> T:
        """Call the projection once its last call has ended: asyncio's cancellation leaves that."""
        with self._turn:
            return function(*args)
