"""Registrations as tables, kept up to date by each append, and the questions asked of them."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    MetaData,
    Table,
    and_,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from projections.registry.events import (
    BOT_DEACTIVATED,
    BOT_REGISTERED,
    BOT_UNREGISTERED,
    BOTS,
    read_registered,
)
from projections.tables.access_times import (
    access_time_table,
    create_access_times,
    delete_access_time,
)
from projections.tables.columns import ByteOrder, ByteOrderText
from projections.tables.projection import TableProjection

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Select

    from eventstore.log.events import Event
    from projections.registry.events import Registered
    from projections.registry.model import SortKey, Status

_tables = MetaData()

bot_table: Final = Table(
    "bot",
    _tables,
    # The id as its stream's key has it: without characters that a database refuses.
    Column("key", ByteOrder, primary_key=True),
    Column("status", ByteOrder, nullable=False),
    Column("body", ByteOrderText, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("first_position", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    # The version of its stream: what a writer expects.
    Column("version", BigInteger, nullable=False),
    Index("bot_first", "first_position"),
    Index("bot_status", "status", "first_position"),
)
"""The registrations that there are. ``body`` is what was registered, exactly, as JSON."""

metadata_table: Final = Table(
    "bot_metadata",
    _tables,
    Column("key", ByteOrder, primary_key=True),
    Column("name", ByteOrder, primary_key=True),
    Column("value", ByteOrder, nullable=False),
    Index("bot_metadata_value", "value", "key"),
)
"""Metadata to filter by: SHA-256 of each key, and of each key with its value."""

ACCESS: Final = "bot"
"""The kind under which times of access are kept beside the log."""


class Row(NamedTuple):
    """A registration as it is stored; ``accessed_us`` is kept beside the log."""

    key: str
    status: Status
    body: str
    created_us: int
    updated_us: int
    position: int
    version: int
    accessed_us: int | None


class Listing(NamedTuple):
    """Which registrations, in which order; ``statuses`` of none are all."""

    statuses: Sequence[str] = ()
    sort: SortKey = "created_at"
    descending: bool = False
    limit: int | None = None
    offset: int = 0
    metadata: Mapping[str, Any] | None = None


class RegistryTables(TableProjection):
    """The tables ``bot`` and ``bot_metadata``, as the log says.

    Inline with ``EventStore.open(url, inline=[RegistryTables()])``, followed in another
    database with ``RegistryTables().at(url)``. A registration whose content was redacted takes
    away what stood before it, like an ``unregister``.
    """

    name = "registry"
    metadata: ClassVar[MetaData] = _tables
    takes_redacted = True

    def setup(self, connection: Connection) -> None:
        """Create the tables, and the one for times beside them."""
        super().setup(connection)
        create_access_times(connection)

    def group(self, event: Event) -> str | None:
        """Take registrations together."""
        return "registered" if event.type == BOT_REGISTERED else None

    def handle_group(self, connection: Connection, events: Sequence[Event]) -> None:
        """Apply registrations."""
        found = [(event, read_registered(event)) for event in events]
        _register(connection, [(event, read) for event, read in found if read is not None])

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event."""
        if not event.stream.startswith(BOTS):
            return
        key = event.stream.removeprefix(BOTS)
        if event.type == BOT_UNREGISTERED or (event.redacted and event.type == BOT_REGISTERED):
            _remove(connection, key)
        elif event.type == BOT_DEACTIVATED:
            connection.execute(
                update(bot_table)
                .where(bot_table.c.key == key)
                .values(status="inactive", **_mark(event))
            )
        elif event.type == BOT_REGISTERED and (found := read_registered(event)) is not None:
            _register(connection, [(event, found)])

    def erase(self, connection: Connection, position: int, stream: str) -> None:  # noqa: ARG002
        """Compute all anew, unless the registration is gone: much may follow from the event."""
        if stream.startswith(BOTS) and find(connection, stream.removeprefix(BOTS)) is not None:
            self.reset(connection)


def _mark(event: Event) -> dict[str, int]:
    return {
        "updated_us": event.recorded_us,
        "position": event.position,
        "version": event.version,
    }


def _remove(connection: Connection, key: str) -> None:
    for table in (bot_table, metadata_table):
        connection.execute(delete(table).where(table.c.key == key))


# Made once: a statement that is made for each event costs several times what it does.
_UPSERT: Final = {
    name: (made := dialect.insert(bot_table)).on_conflict_do_update(
        index_elements=["key"],
        set_={
            column: made.excluded[column]
            for column in ("status", "body", "updated_us", "position", "version")
        },
    )
    for name, dialect in {"sqlite": sqlite, "postgresql": postgresql}.items()
}
_INSERT: Final = insert(bot_table)
_INSERT_METADATA: Final = insert(metadata_table)
_DELETE_METADATA: Final = delete(metadata_table).where(metadata_table.c.key == bindparam("of"))


def _register(connection: Connection, registrations: Sequence[tuple[Event, Registered]]) -> None:
    """Apply registrations in order; of several of one bot the last one stays."""
    rows = [_row(event, found) for event, found in registrations]
    # The first event of a stream finds nothing of its bot.
    new = [row for row in rows if row["version"] == 1]
    old = [row for row in rows if row["version"] > 1]
    if new:
        connection.execute(_INSERT, new)
    if old:
        connection.execute(_UPSERT[connection.dialect.name], old)
        connection.execute(_DELETE_METADATA, [{"of": row["key"]} for row in old])
    last = {row["key"]: found for row, (_, found) in zip(rows, registrations, strict=True)}
    metadata = [
        {"key": key, "name": digest(name), "value": digest(name, value)}
        for key, found in last.items()
        for name, value in found.metadata.items()
    ]
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


def digest(*parts: Any) -> str:
    """Return what stands for a key of metadata, or a key and its value."""
    return sha256(msgspec.json.encode(parts, order="deterministic")).hexdigest()


def _rows() -> Select[Any]:
    c, touched = bot_table.c, access_time_table.c
    joined = bot_table.outerjoin(
        access_time_table, and_(touched.kind == ACCESS, touched.key == c.key)
    )
    return select(
        c.key, c.status, c.body, c.created_us, c.updated_us, c.position, c.version, touched.at_us
    ).select_from(joined)


def find(connection: Connection, key: str) -> Row | None:
    """Return one registration; ``None`` where there is none."""
    row = connection.execute(_rows().where(bot_table.c.key == key)).one_or_none()
    return None if row is None else Row(*row)


def find_all(connection: Connection, listing: Listing) -> list[Row]:
    """Return the registrations that a listing asks for, in its order."""
    order = _ORDERS[listing.sort]
    first = bot_table.c.first_position
    columns = [order, first] if order is not first else [first]
    query = _narrowed(_rows(), listing).order_by(
        *(column.desc() if listing.descending else column.asc() for column in columns)
    )
    if listing.limit is not None or listing.offset:
        query = query.limit(_ALL if listing.limit is None else listing.limit)
        query = query.offset(listing.offset)
    return [Row(*row) for row in connection.execute(query)]


def list_keys(connection: Connection, status: str) -> list[str]:
    """Return the keys of all with this status, in order of first registration."""
    c = bot_table.c
    found = select(c.key).where(c.status == status).order_by(c.first_position)
    return list(connection.execute(found).scalars())


def count(connection: Connection, listing: Listing) -> int:
    """Return how many registrations a listing has, its limit and offset aside."""
    query = _narrowed(select(func.count()).select_from(bot_table), listing)
    found: int = connection.execute(query).scalar_one()
    return found


def forget(connection: Connection, keys: Sequence[str]) -> None:
    """Remove times of access that nobody will ask for."""
    for key in keys:
        delete_access_time(connection, ACCESS, key)


_ALL: Final = 2**63 - 1
_ORDERS: Final = {
    "created_at": bot_table.c.first_position,
    "updated_at": bot_table.c.position,
    "bot_id": bot_table.c.key,
    "status": bot_table.c.status,
}


def _narrowed(query: Select[Any], listing: Listing) -> Select[Any]:
    if listing.statuses:
        query = query.where(bot_table.c.status.in_(listing.statuses))
    for name, value in (listing.metadata or {}).items():
        c = metadata_table.c
        having = select(c.key).where(c.value == digest(name, value))
        query = query.where(bot_table.c.key.in_(having))
    return query
