"""The registry: configurations of running bots or agents, on an event log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from eventstore.errors import ConflictError, InvalidInputError
from eventstore.limits import MAX_COMMIT_EVENTS
from eventstore.log.clock import from_microseconds
from eventstore.log.events import StreamWrite
from eventstore.moments.resolve import resolve_moment
from projections.registry._lists import RegistryLists
from projections.registry.events import (
    BOT_DEACTIVATED,
    BOT_REGISTERED,
    BOT_UNREGISTERED,
    BOTS,
    TYPES,
    bot_stream,
    read_bot_id,
    read_change,
)
from projections.registry.history import registration_as_of
from projections.registry.listing import Listing
from projections.registry.model import Registration, check_status
from projections.registry.queries import registrations as queries
from projections.registry.queries.registrations import Row
from projections.registry.revert import plan_registration
from projections.registry.tables import RegistryTables
from projections.seams.checks import check_whole_number, copy_object
from projections.seams.past import check_position_is_known
from projections.seams.reverting import revert_metadata

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from eventstore import Cursor, EventStore
    from projections.registry.model import RegistryChange, Status
    from projections.seams.changes import Changes


class Registry(RegistryLists):
    """Registrations of bots or agents: written as events, read from tables.

    ``log`` is a URL, opened by :meth:`initialize` and closed by :meth:`close`, or an open
    store that has :class:`~projections.registry.RegistryTables` inline. ``by`` names the writer.

    Every write is an event, durable when the method returns and visible to every read that begins
    then, in any process. Reads append nothing, and what they return is a copy.
    Access times are kept beside the log (:mod:`projections.tables.access_times`): a ``get``
    moves them at once for this process and within 200 ms for others, and a process that is killed
    loses those of its last 200 ms. Ids are any text of up to 255 bytes in UTF-8; anything else, and
    what JSON cannot hold exactly, raises InvalidInputError before anything is written. A read of
    what cannot be an id finds nothing.
    """

    def __init__(self, log: EventStore | str, *, by: str | None = None, **options: Any) -> None:
        super().__init__(log, RegistryTables(), by=by, **options)

    async def initialize(self) -> None:
        """Open the log and create its missing tables; a second call does nothing."""
        await self.open()

    async def register(
        self,
        bot_id: str,
        config: Mapping[str, Any],
        status: Status = "active",
        *,
        metadata: Mapping[str, Any] | None = None,
    ) -> Registration:
        """Register a bot, or replace its configuration, status and metadata.

        A known one keeps ``created_at`` and its place in lists; ``updated_at`` moves. Of
        several concurrent calls for one id the last one stays. ``config`` and ``metadata`` are any
        mappings. Raises InvalidInputError for an unknown status and for what JSON cannot hold
        exactly.
        """
        stream = bot_stream(bot_id)
        data = {
            "bot_id": bot_id,
            "config": copy_object("config", config),
            "status": check_status(status),
            "metadata": copy_object("metadata", {} if metadata is None else metadata),
        }
        event = self._event(BOT_REGISTERED, data)
        done = await self._append(stream, event)
        row = await self._find(bot_id)
        if row is not None and row.version == done.version:
            return self._registrations([row])[0]
        # Another writer has replaced it since.
        read = self.log.read_stream(stream, after_version=done.version - 1)
        at = (await anext(aiter(read))).recorded_at
        created = at if row is None else min(from_microseconds(row.created_us), at)
        accessed = created if row is None else self._registrations([row])[0].last_accessed_at
        mine = msgspec.json.decode(event.raw_data or b"")
        return Registration(**mine, created_at=created, updated_at=at, last_accessed_at=accessed)

    async def get(self, bot_id: str) -> Registration | None:
        """Return a registration of any status, and move its access time."""
        row = await self._find(bot_id)
        if row is None:
            return None
        self._access_times.record(row.key)
        return self._registrations([row])[0]

    async def get_config(self, bot_id: str) -> dict[str, Any] | None:
        """Return the configuration of any status, and move the access time."""
        found = await self.get(bot_id)
        return None if found is None else found.config

    async def peek_config(self, bot_id: str) -> dict[str, Any] | None:
        """Return the configuration of any status, and move nothing."""
        row = await self._find(bot_id)
        return None if row is None else self._registrations([row])[0].config

    async def exists(self, bot_id: str) -> bool:
        """Whether there is an active registration."""
        row = await self._find(bot_id)
        return row is not None and row.status == "active"

    async def unregister(self, bot_id: str) -> bool:
        """Remove a registration; True for the one caller that removed it."""
        while (row := await self._find(bot_id)) is not None:
            event = self._event(BOT_UNREGISTERED, {"bot_id": bot_id})
            if await self._replaced(row, event):
                self._drop_access_times([row.key])
                return True
        return False

    async def deactivate(self, bot_id: str) -> bool:
        """Make a registration inactive; True where it exists, inactive ones included."""
        while (row := await self._find(bot_id)) is not None:
            event = self._event(BOT_DEACTIVATED, {"bot_id": bot_id})
            if await self._replaced(row, event):
                return True
        return False

    async def clear(self) -> None:
        """Remove every registration that exists now, in commits of up to 50,000."""
        rows = await self._look(_all, queries.find_all(self._dialect, Listing()), brief=False)
        for first in range(0, len(rows), MAX_COMMIT_EVENTS):
            part = rows[first : first + MAX_COMMIT_EVENTS]
            writes = []
            for row in part:
                stream = BOTS + row.key
                event = self._event(BOT_UNREGISTERED, {"bot_id": read_bot_id(stream)})
                writes.append(StreamWrite(stream, [event]))
            await self.log.append_many(writes)
            self._drop_access_times([row.key for row in part])

    def subscribe_changes(
        self, bot_id: str | None = None, *, after: int | Cursor | None = None
    ) -> Changes[RegistryChange]:
        """Follow what happens to one registration, or to all: each change once, in order.

        Starts after what this registry has read last, so that nothing is missed between a
        read and the changes that follow it; ``after`` is a position or a cursor to start from.
        """
        if bot_id is None:
            return self._follow(read_change, streams=None, after=after, types=TYPES)
        stream = bot_stream(bot_id)

        def mine(event: Any) -> RegistryChange | None:
            change = read_change(event)
            return change if change is not None and bot_stream(change.bot_id) == stream else None

        return self._follow(mine, streams=None, after=after, types=TYPES)

    async def history(self, bot_id: str) -> list[RegistryChange]:
        """Return everything that happened to a registration, from the first to the last.

        In a log that was trimmed it begins with what the trim kept of it.
        """
        found = self.log.read(streams=bot_stream(bot_id), kept=True)
        return [change async for event in found if (change := read_change(event)) is not None]

    async def get_as_of(self, bot_id: str, position: int) -> Registration | None:
        """Return the registration as it was at a position of the log; ``None`` without one.

        Its access time is that of its creation: access times have no history. Raises
        HistoryGoneError where a trim removed what would say it.
        """
        check_whole_number("position", position)
        found = registration_as_of(await self.history(bot_id), position)
        await check_position_is_known(self.log, position)
        return found

    async def revert(
        self, bot_id: str, to: int | datetime | str, *, reason: str = "", by: str | None = None
    ) -> bool:
        """Restore a registration as it was at a moment; True where something differed.

        One event registers it as it was then, or unregisters it where it was not registered.
        ``to`` is a moment (:mod:`eventstore.moments`). Raises MomentError, HistoryGoneError where
        a trim removed what stood then, ConflictError where it changes meanwhile.
        """
        moment = await resolve_moment(self.log, to)
        metadata = revert_metadata(moment.position, by or self._by or self.log.owner, reason)
        stream = bot_stream(bot_id)
        write = await plan_registration(self.log, stream, moment.position, metadata)
        if write is not None:
            await self.log.append_many([write])
        return write is not None

    async def _find(self, bot_id: str) -> Row | None:
        try:
            key = bot_stream(bot_id).removeprefix(BOTS)
        except InvalidInputError:
            return None
        return await self._look(_only, queries.find(self._dialect, key))

    async def _replaced(self, row: Row, event: Any) -> bool:
        """Append; False if another writer changed the registration since ``row`` was read."""
        try:
            await self._append(BOTS + row.key, event, expected=row.version)
        except ConflictError:
            return False
        return True

    def _drop_access_times(self, keys: list[str]) -> None:
        for key in keys:
            self._access_times.forget(key)
        self.log.transact_later(partial(queries.delete_access_times, keys=keys))


def _all(rows: Sequence[Any]) -> list[Row]:
    return list(map(Row._make, rows))


def _only(rows: Sequence[Any]) -> Row | None:
    return Row._make(rows[0]) if rows else None
