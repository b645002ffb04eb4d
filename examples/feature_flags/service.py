"""What the service offers: change a flag, ask for a user, list, search."""

from __future__ import annotations

from functools import partial
from typing import Any

from flags import CATEGORY, Flag, FlagRetired, FlagSet, is_on, retire, set_to
from sqlalchemy import Connection, and_, select
from views import Audit, Flags, audit_table, flag_table

from eventstore import EventStore
from projections import Aggregates


def open_store(url: str) -> EventStore:
    """Return the log with its views, to be entered with ``async with``."""
    return EventStore.open(url, inline=[Flags(), Audit()])


class FlagService:
    """The flags of one open store."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._flags = Aggregates(store, Flag(), CATEGORY)

    async def set(self, flag: str, percent: int, *, by: str, why: str) -> bool:
        """Turn a flag on for a part of the users; return whether that changed anything."""
        change = FlagSet(percent, by, why)
        done = await self._flags.execute(flag, partial(set_to, change=change))
        return done is not None

    async def retire(self, flag: str, *, by: str, why: str) -> bool:
        """Turn a flag off for good; return whether that changed anything."""
        done = await self._flags.execute(flag, partial(retire, change=FlagRetired(by, why)))
        return done is not None

    async def is_on(self, flag: str, user: str) -> bool:
        """Whether a flag is on for a user; an unknown one is off."""
        found = select(flag_table.c.percent).where(flag_table.c.name == flag)
        percent = await self._store.query(lambda connection, _: connection.scalar(found))
        return percent is not None and is_on(flag, percent, user)

    async def all(self) -> list[dict[str, Any]]:
        """Return all flags, by name."""
        return await self._rows(select(flag_table).order_by(flag_table.c.name))

    async def search(self, *words: str) -> list[dict[str, Any]]:
        """Return the changes that have all of these words, newest first."""
        columns = [column for column in audit_table.c if column.name != "words"]
        having = [audit_table.c.words.contains(word.lower(), autoescape=True) for word in words]
        found = select(*columns).where(and_(True, *having))
        return await self._rows(found.order_by(audit_table.c.position.desc()))

    async def _rows(self, statement: Any) -> list[dict[str, Any]]:
        def read(connection: Connection, _: object) -> list[dict[str, Any]]:
            return [dict(row) for row in connection.execute(statement).mappings()]

        return await self._store.query(read)
