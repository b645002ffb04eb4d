"""The table in which the log keeps what it was told of projections in other databases.

See :mod:`projections.elsewhere`.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import BigInteger, MetaData, Table, Text, inspect, text

from eventstore.system.secret_text import conceal
from projections.tables.checkpoints import own_schema, own_schema_only
from projections.tables.columns import ByteOrder, json_text, keys, required, short_key, storable
from projections.tables.upsert import Upsert
from projections.tables.view_facts import read_views
from projections.tables.view_model import ElsewhereView

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore import EventStore
    from projections.tables.database import Database
    from projections.tables.view_model import ViewVersion

MOST_REASONS: Final = 10
"""Events set aside that the log is told of with their reasons; all of them are counted."""

MOST_CHARACTERS: Final = 300
"""Characters of a reason that are told."""

MOST_KEY_BYTES: Final = 1_000
"""Bytes of a URL that is a key as a whole."""

_tables = MetaData()

elsewhere_table: Final = Table(
    "projection_elsewhere",
    _tables,
    *keys(ByteOrder, "name", "place"),
    *required(BigInteger, "told_us"),
    *required(Text, "facts"),
)
"""A row for each projection and database, written by its runner."""

_UPSERT: Final = Upsert(elsewhere_table, ["name", "place"])


def read_facts(database: Database, name: str, log_id: str, owner: str) -> ElsewhereView | None:
    """Return what a database knows of a projection; ``None`` where it is the log's own."""
    with database.reading() as connection:
        if connection is None or holds_log(connection, log_id):
            return None
        schema = own_schema(connection)
        versions = [_brief(one) for one in read_views(connection, name, sizes=False)]
        return ElsewhereView(name, database.url, database.reach(schema), schema, owner, versions)


def holds_log(connection: Connection, log_id: str) -> bool:
    """Return whether a database is the one that holds this log."""
    schema = own_schema(connection)
    if not inspect(connection).has_table("head", schema=schema):
        return False
    with own_schema_only(connection, schema):
        found = connection.execute(text("SELECT log_id FROM head")).scalars().first()
    return bool(found == log_id)


def _brief(view: ViewVersion) -> ViewVersion:
    """Shorten what is of any length, and leave out what looks like a password."""
    failure = None if view.failure is None else _shorten(view.failure)
    aside = tuple(
        replace(one, reason=_shorten(one.reason)) for one in view.set_aside[:MOST_REASONS]
    )
    return replace(view, failure=failure, set_aside=aside)


def _shorten(reason: str) -> str:
    return storable(conceal(reason))[:MOST_CHARACTERS]


async def store_elsewhere(store: EventStore, told: ElsewhereView) -> None:
    """Store what the log is told of a projection, in the place of what it was told before."""
    await store.transact(partial(_write, told, store.clock()))


def _write(told: ElsewhereView, now: int, connection: Connection) -> None:
    with own_schema_only(connection):
        _tables.create_all(connection)
    place = _key(told.url)
    row = {"name": told.projection, "place": place, "told_us": now, "facts": json_text(told)}
    _UPSERT.execute(connection, row)


def _key(url: str) -> str:
    return short_key(storable(url), MOST_KEY_BYTES, 100)


async def remove_elsewhere(store: EventStore, name: str, urls: Sequence[str]) -> None:
    """Remove what the log was told of a projection in these databases."""
    c = elsewhere_table.c
    mine = (c.name == name) & c.place.in_([_key(url) for url in urls])

    def remove(connection: Connection) -> None:
        with own_schema_only(connection):
            connection.execute(elsewhere_table.delete().where(mine))

    await store.transact(remove)
