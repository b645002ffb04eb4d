"""Where the tables of a projection are: in the log's own database, or in another one.

What an operator does with a projection by hand is the same in both: look, build, swap, retry, drop.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeVar

import anyio

from eventstore.errors import StorageError
from eventstore.log.inline_projection import BuildGoneError
from eventstore.log.operations import Query
from eventstore.log.validation import check_seconds
from eventstore.storage.held_wait import HeldError, HeldWait
from projections.elsewhere import read_elsewhere
from projections.protocol import OutdatedViewError
from projections.runner import ProjectionRunner
from projections.tables._building_elsewhere import (
    FAILS,
    BuildElsewhere,
    TooFarBehindError,
)
from projections.tables.backends import make_database
from projections.tables.elsewhere import (
    holds_log,
    read_facts,
    remove_elsewhere,
    store_elsewhere,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore import Cursor, Event, EventStore
    from projections.tables.database import Database
    from projections.tables.projection import TableProjection

T = TypeVar("T")
Progress = Callable[[int, int], None]

REST_EVENTS: Final = 2_000
"""Events that the first try to swap may apply itself, each next one twice as many."""

SWAP_WAIT: Final = 30.0
"""Seconds that a swap waits for those who hold the tables of the live version."""


class ViewPlace(Protocol):
    """A database that holds projections of a log."""

    name: str
    """Names it in messages, without a password; empty for the log's own."""
    url: str
    """Where it is; empty for the log's own."""

    async def query(self, function: Callable[[Connection], T]) -> T:
        """Return what ``function(connection)`` reads, in one transaction."""

    async def transact(self, function: Callable[[Connection], None]) -> None:
        """Call ``function(connection)`` in a transaction that commits before this returns."""

    async def build(self, projection: TableProjection, progress: Progress) -> bool:
        """Build a version beside the live one, up to the head; return whether there is one."""

    async def swap(self, projection: TableProjection, *, wait: float = SWAP_WAIT) -> bool:
        """Put a version in the live one's place; return whether that was another one.

        Raises ProjectionHeldError on PostgreSQL where others hold the tables for ``wait`` seconds.
        """

    async def tell(self, name: str) -> None:
        """Let the log know how a projection is now, where its own database does not say it."""


class LogPlace:
    """The log's own database; see :class:`ViewPlace`."""

    name = url = ""

    def __init__(self, store: EventStore) -> None:
        self._store = store

    async def query(self, function: Callable[[Connection], T]) -> T:
        """Return what a function reads."""
        return await self._store.query(lambda connection, _head: function(connection))

    async def transact(self, function: Callable[[Connection], None]) -> None:
        """Call a function in a transaction that commits."""
        await self._store.transact(function)

    async def build(self, projection: TableProjection, progress: Progress) -> bool:
        """Build a version beside the live one."""
        return await self._store.build_view(projection, progress=progress)

    async def swap(self, projection: TableProjection, *, wait: float = SWAP_WAIT) -> bool:
        """Put a version in the live one's place."""
        return await self._store.swap_view(projection, wait=wait)

    async def tell(self, name: str) -> None:
        """Do nothing: the log's database knows it."""


class OtherPlace:
    """Another database, at ``url``; see :class:`ViewPlace`."""

    def __init__(self, store: EventStore, url: str) -> None:
        self._store = store
        self.url = url
        self.name = make_database(url).url

    async def query(self, function: Callable[[Connection], T]) -> T:
        """Return what a function reads. Raises StorageError where there is no such file."""
        return await self._in_thread(partial(self._read, function))

    def _read(self, function: Callable[[Connection], T], database: Database) -> T:
        with database.reading() as connection:
            if connection is None:
                raise StorageError(self.name, "there is no such file with projections in it")
            return function(connection)

    async def transact(self, function: Callable[[Connection], None]) -> None:
        """Call a function in a transaction that commits."""

        def write(database: Database) -> None:
            with database.transaction() as connection:
                function(connection)

        await self._in_thread(write)

    async def build(self, projection: TableProjection, progress: Progress | None = None) -> bool:
        """Build a version beside the live one: what is built stays where this is cancelled."""
        view = BuildElsewhere(projection, make_database(self.url))
        while await self._is_needed(view):
            try:
                await ProjectionRunner(self._store, view, progress=progress).catch_up()
            except BuildGoneError:
                continue  # Another process has swapped it, or discarded it.
            except FAILS:
                await anyio.to_thread.run_sync(view.discard)
                raise
            return True
        return False

    async def swap(self, projection: TableProjection, *, wait: float = SWAP_WAIT) -> bool:
        """Build what is missing, and put the version in the live one's place."""
        view, swapped = BuildElsewhere(projection, make_database(self.url)), False
        held = HeldWait(projection.name, check_seconds("wait", wait, zero=True))
        while await self._is_needed(view):
            swapped = True
            try:
                async with ProjectionRunner(self._store, view).held() as advance:
                    await self._swap(view, advance, held)
            except BuildGoneError:
                continue
            except FAILS:
                await anyio.to_thread.run_sync(view.discard)
                raise
        return swapped

    async def _swap(self, view: BuildElsewhere, advance: Callable[[], Any], held: HeldWait) -> None:
        most = REST_EVENTS
        while True:
            await advance()
            try:
                rest = partial(self._rest, most)
                await anyio.to_thread.run_sync(view.swap, held.patience, rest)
            except HeldError as error:
                await anyio.sleep(held.pause(error.pids))
            except TooFarBehindError:
                most *= 2
            except OutdatedViewError:
                pass  # It is redacted: the next step computes the build again.
            else:
                await anyio.to_thread.run_sync(view.clear)
                return

    def _rest(self, most: int, at: Cursor, until: Cursor) -> list[Event]:
        """Read the events between two cursors, in the thread that swaps."""
        if until.position - at.position > most:
            raise TooFarBehindError(f"the build is more than {most} events behind")
        events: list[Event] = []
        while at != until:
            query = Query(
                after=at.position,
                until=until.position,
                limit=most,
                whole_commits=True,
                expect=at,
            )
            page = anyio.from_thread.run(self._store.feed.page, query)
            events += page.events
            at = page.through
        return events

    async def tell(self, name: str) -> None:
        """Let the log know how a projection is now."""
        log_id = (await self._store.head()).log_id
        told = await self._in_thread(
            lambda database: read_facts(database, name, log_id, self._store.owner)
        )
        if told is not None and told.versions:
            await store_elsewhere(self._store, told)
        elif told is not None:
            await forget_elsewhere(self._store, name, told.url)

    async def _is_needed(self, view: BuildElsewhere) -> bool:
        log_id = (await self._store.head()).log_id
        return await anyio.to_thread.run_sync(view.is_needed, log_id)

    async def _in_thread(self, function: Callable[[Database], T]) -> T:
        def run() -> T:
            database = make_database(self.url)
            database.open()
            try:
                return function(database)
            finally:
                database.close()

        return await anyio.to_thread.run_sync(run)


async def place_at(store: EventStore, url: str | None) -> ViewPlace:
    """Return the place at a URL; the log's own where that is none, or names the same database."""
    if url is None:
        return LogPlace(store)
    other, log_id = OtherPlace(store, url), (await store.head()).log_id
    is_own = await other.query(lambda connection: holds_log(connection, log_id))
    return LogPlace(store) if is_own else other


async def forget_elsewhere(store: EventStore, name: str, url: str | None = None) -> bool:
    """Let the log forget a projection elsewhere, at ``url`` or anywhere; the other database stays.

    Returns whether the log knew it.
    """
    known = [one.url for one in await read_elsewhere(store, name) if url in {None, one.url}]
    if known:
        await remove_elsewhere(store, name, known)
    return bool(known)
