"""A projection whose sums show an event that is lost or repeated, and readers of its tables."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    inspect,
    select,
)
from sqlalchemy.dialects import postgresql, sqlite

from eventstore import Cursor, Event, EventStore, NewEvent
from projections import ProjectionRunner, TableProjection

if TYPE_CHECKING:
    from collections.abc import Sequence

COMMIT = 1_000
"""Events of a commit: far more than one step applies."""

counts = Table(
    "counts", MetaData(), Column("key", String, primary_key=True), Column("total", Integer)
)


class Totals(TableProjection):
    """Sums the numbers of each stream; repeating or losing an event shows in the sum."""

    name = "totals"
    metadata: ClassVar[MetaData] = counts.metadata

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the event's number; a ``Bad`` one fails after it has written."""
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        row = dialect.insert(counts).values(key=event.stream, total=event.data)
        connection.execute(
            row.on_conflict_do_update(
                index_elements=["key"], set_={"total": counts.c.total + row.excluded.total}
            )
        )
        if event.type == "Bad":
            raise ZeroDivisionError("cannot count this")


class TimesTotals(Totals):
    """A version of the projection in which every number counts as many times."""

    def __init__(self, version: int = 1) -> None:
        super().__init__()
        self.version = version  # type: ignore[misc]  # Of the object: one for each version.

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the number so many times."""
        for _ in range(self.version):
            super().handle(connection, event)


class NotedTotals(TimesTotals):
    """Notes the first and the last position of each batch that it is given."""

    def __init__(self, version: int = 1) -> None:
        super().__init__(version)
        self.batches: list[tuple[int, int]] = []

    def apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply a batch, and note it."""
        super().apply(connection, events, cursor)
        self.batches.append((events[0].position, cursor.position))


class DoubledTotals(Totals):
    """The next version of the projection: every number counts twice."""

    version: ClassVar[int] = 2

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the number twice."""
        super().handle(connection, event)
        super().handle(connection, event)


class WideTotals(TableProjection):
    """The next version of the projection, with another first column."""

    name, version = "totals", 2
    table = Table(
        "counts",
        MetaData(),
        Column("added", Integer),
        Column("key", String, primary_key=True),
        Column("total", Integer),
    )
    metadata: ClassVar[MetaData] = table.metadata

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the event's number."""
        from projections.tables.upsert import increment  # The released version has it not.

        increment(connection, self.table, {"key": event.stream}, {"total": event.data})


def reader_of(url: str) -> Engine:
    """Return an engine of SQLAlchemy's own, as another program would read the tables."""
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def one_moment(connection: Connection, *tables: str) -> None:
    """Let the statements that follow see one moment of these tables."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("BEGIN")  # Its driver begins none for a SELECT.
    else:
        # The lock before the snapshot: a table that was replaced after a snapshot is empty in it.
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        connection.exec_driver_sql(f"LOCK TABLE {', '.join(tables)} IN ACCESS SHARE MODE")


def read_totals(url: str) -> dict[str, int]:
    """Return the totals as a reader of their database sees them, none where no table is there."""
    engine = reader_of(url)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(counts.name):
                return {}
            return {row.key: row.total for row in connection.execute(select(counts))}
    finally:
        engine.dispose()


def read_table(url: str, table: Table) -> list[tuple[object, ...]]:
    """Return all rows of a table."""
    engine = reader_of(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(select(table))]
    engine.dispose()
    return found


async def append_numbers(store: EventStore, count: int = 50) -> dict[str, int]:
    """Append numbers 1 to ``count`` in commits of 1 to 3; return the totals, by arithmetic."""
    number, commit = 1, 1
    while number <= count:
        batch = range(number, min(number + commit, count + 1))
        await store.append(f"n/{number % 4}", [NewEvent("Counted", n) for n in batch])
        number, commit = batch.stop, commit % 3 + 1
    totals: Counter[str] = Counter()
    number, commit = 1, 1
    while number <= count:
        stop = min(number + commit, count + 1)
        totals[f"n/{number % 4}"] += sum(range(number, stop))
        number, commit = stop, commit % 3 + 1
    return dict(totals)


async def project(log: str, target: str, projection: TableProjection) -> int:
    """Bring a followed projection to the head of a log; return its position."""
    async with EventStore.open(log) as store:
        return (await ProjectionRunner(store, projection.at(target)).catch_up()).position


async def append_commits(url: str, count: int, size: int = COMMIT) -> None:
    """Append so many commits without a view."""
    async with EventStore.open(url, notify="none") as store:
        for number in range(count):
            await store.append(f"n/{number}", [NewEvent("Counted", 1) for _ in range(size)])


def assert_gapless(batches: list[tuple[int, int]], after: int, until: int) -> None:
    """Fail unless each batch follows the one before it."""
    assert [first for first, _ in batches] == [after + 1, *(last + 1 for _, last in batches[:-1])]
    assert batches[-1][1] == until
