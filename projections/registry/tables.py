"""Registrations as tables, which each append updates in its own transaction."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Index,
    MetaData,
    Table,
    bindparam,
    delete,
    insert,
    select,
    update,
)

from projections.registry.events import (
    BOT_DEACTIVATED,
    BOT_REGISTERED,
    BOTS,
    ends_registration,
    read_registered,
)
from projections.tables.access_times import ProjectionWithAccessTimes
from projections.tables.columns import ByteOrder, ByteOrderText, keys, required
from projections.tables.statements import MOST_STATED, Statement, run_queries
from projections.tables.upsert import Upsert

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Event
    from eventstore.storage.driver import Query
    from projections.registry.events import Registered

_tables = MetaData()

bot_table: Final = Table(
    "bot",
    _tables,
    # The id as its stream's key has it: without characters that a database refuses.
    *keys(ByteOrder, "key"),
    *required(ByteOrder, "status"),
    *required(ByteOrderText, "body"),
    *required(BigInteger, "created_us", "updated_us", "first_position", "position"),
    # The version of its stream, which a conditional append expects.
    *required(BigInteger, "version"),
    Index("bot_first", "first_position"),
    Index("bot_status", "status", "first_position"),
)
"""The registrations. ``body`` is what was registered, exactly, as JSON."""

metadata_table: Final = Table(
    "bot_metadata",
    _tables,
    *keys(ByteOrder, "key", "name"),
    *required(ByteOrder, "value"),
    Index("bot_metadata_value", "value", "key"),
)
"""Metadata to filter by: SHA-256 of each key, and of each key with its value."""

ACCESS: Final = "bot"
"""The kind of the registry's access times, which are kept beside the log."""


class RegistryTables(ProjectionWithAccessTimes):
    """The tables ``bot`` and ``bot_metadata``, as the log says.

    Inline with ``EventStore.open(url, inline=[RegistryTables()])``, followed in another
    database with ``RegistryTables().at(url)``. A registration whose content was redacted takes
    away what stood before it, like an ``unregister``.
    """

    name = "registry"
    metadata: ClassVar[MetaData] = _tables
    grouped = BOT_REGISTERED

    def handle_group(self, connection: Connection, events: Sequence[Event]) -> None:
        """Apply registrations."""
        found = [(event, read_registered(event)) for event in events]
        _register(connection, [(event, read) for event, read in found if read is not None])

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event."""
        run_queries(connection, _changes(connection.dialect.name, event))

    def statements(self, dialect: str, events: Sequence[Event]) -> list[Query] | None:
        """Return what :meth:`handle` executes for a few events; ``None`` for many."""
        if len(events) > MOST_STATED:
            return None
        return [query for event in events for query in _changes(dialect, event)]

    def erase(self, connection: Connection, position: int, stream: str) -> None:  # noqa: ARG002
        """Empty the projection, unless the registration is gone: later rows depend on the event."""
        if not stream.startswith(BOTS):
            return
        found = select(bot_table.c.key).where(bot_table.c.key == stream.removeprefix(BOTS))
        if connection.execute(found).first() is not None:
            self.reset(connection)


def _mark(event: Event) -> dict[str, int]:
    return {
        "updated_us": event.recorded_us,
        "position": event.position,
        "version": event.version,
    }


def _changes(dialect: str, event: Event) -> list[Query]:
    """Return what one event does to the tables."""
    if not event.stream.startswith(BOTS):
        return []
    key = event.stream.removeprefix(BOTS)
    if ends_registration(event):
        return [_REMOVE.ask(dialect, of=key), _REMOVE_METADATA.ask(dialect, of=key)]
    if event.type == BOT_DEACTIVATED:
        return [_DEACTIVATE.ask(dialect, of=key, **_mark(event))]
    if event.type != BOT_REGISTERED or (found := read_registered(event)) is None:
        return []
    row = _row(event, found)
    # The first event of a stream finds nothing of its bot.
    queries: list[Query] = []
    if row["version"] == 1:
        queries.append(_STORE_NEW.ask(dialect, **row))
    else:
        queries += [_STORE.ask(dialect, **row), _REMOVE_METADATA.ask(dialect, of=key)]
    queries += [_STORE_METADATA.ask(dialect, **one) for one in _metadata_rows(key, found)]
    return queries


def _metadata_rows(key: str, found: Registered) -> list[dict[str, str]]:
    return [
        {"key": key, "name": metadata_digest(name), "value": metadata_digest(name, value)}
        for name, value in found.metadata.items()
    ]


_UPSERT: Final = Upsert(
    bot_table, ["key"], update=["status", "body", "updated_us", "position", "version"]
)
_INSERT: Final = insert(bot_table)
_INSERT_METADATA: Final = insert(metadata_table)
_DELETE_METADATA: Final = delete(metadata_table).where(metadata_table.c.key == bindparam("of"))

_STORE_NEW: Final = Statement(_INSERT)
_STORE: Final = Statement(_UPSERT.statements)
_STORE_METADATA: Final = Statement(_INSERT_METADATA)
_REMOVE: Final = Statement(delete(bot_table).where(bot_table.c.key == bindparam("of")))
_REMOVE_METADATA: Final = Statement(_DELETE_METADATA)
_DEACTIVATE: Final = Statement(
    update(bot_table)
    .where(bot_table.c.key == bindparam("of"))
    .values(
        status="inactive",
        **{name: bindparam(name) for name in ("updated_us", "position", "version")},
    )
)


def _register(connection: Connection, registrations: Sequence[tuple[Event, Registered]]) -> None:
    """Apply registrations in order; of several of one bot the last one stays."""
    rows = [_row(event, found) for event, found in registrations]
    # The first event of a stream finds nothing of its bot.
    new = [row for row in rows if row["version"] == 1]
    old = [row for row in rows if row["version"] > 1]
    if new:
        connection.execute(_INSERT, new)
    if old:
        _UPSERT.execute(connection, old)
        connection.execute(_DELETE_METADATA, [{"of": row["key"]} for row in old])
    last = {row["key"]: found for row, (_, found) in zip(rows, registrations, strict=True)}
    metadata = [row for key, found in last.items() for row in _metadata_rows(key, found)]
    if metadata:
        connection.execute(_INSERT_METADATA, metadata)


def _row(event: Event, found: Registered) -> dict[str, Any]:
    mark = _mark(event)
    return {
        "key": event.stream.removeprefix(BOTS),
        "status": found.status,
        "body": (event.raw_data or b"").decode(),
        "created_us": mark["updated_us"],
        "first_position": event.position,
        **mark,
    }


def metadata_digest(*parts: Any) -> str:
    """Return the SHA-256, in hex, of a key of metadata or of a key with its value."""
    return sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()
