"""A projection owns the tables that it has made, and leaves every other one alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, inspect, text
from support.totals import Totals, append_numbers, read_table, read_totals, reader_of

from eventstore import Event, EventStore, NewEvent, ProjectionError
from eventstore.errors import ProjectionTableError
from projections import ProjectionRunner, TableProjection
from projections.tables.ledger import ledger_table

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


def execute(url: str, *statements: str) -> None:
    """Run statements as another program would, in one transaction."""
    engine = reader_of(url)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


def table_names(url: str) -> set[str]:
    """Return the tables in a database."""
    engine = reader_of(url)
    with engine.connect() as connection:
        schema = None
        if connection.dialect.name == "postgresql":
            schema = connection.execute(text("SELECT current_schema()")).scalar_one()
        found = set(inspect(connection).get_table_names(schema))
    engine.dispose()
    return found


def rows(url: str, name: str) -> Sequence[Any]:
    """Return all rows of a table."""
    engine = reader_of(url)
    with engine.connect() as connection:
        found = connection.execute(text(f'SELECT * FROM "{name}"')).all()
    engine.dispose()
    return [tuple(row) for row in found]


def with_tables(*names: str, version: int = 1) -> TableProjection:
    """Return a projection of so many tables, each with a row per event."""
    metadata = MetaData()
    made = [
        Table(name, metadata, Column("at", Integer, primary_key=True, autoincrement=False))
        for name in names
    ]

    class Listing(TableProjection):
        name = "listing"

        def handle(self, connection: Connection, event: Event) -> None:
            for table in made:
                connection.execute(table.insert().values(at=event.position))

    Listing.version, Listing.metadata = version, metadata
    return Listing()


async def open_inline(log: str, projection: TableProjection) -> None:
    """Open a log with an inline projection, and close it."""
    async with EventStore.open(log, inline=[projection]):
        pass


async def catch_up(log: str, projection: TableProjection) -> None:
    """Bring a projection in the log's own database to its head."""
    async with EventStore.open(log) as store:
        await ProjectionRunner(store, projection.at(log)).catch_up()


BOTH = pytest.mark.parametrize("bring", [open_inline, catch_up])


@pytest.mark.promise("projection")
@BOTH
async def test_a_table_of_another_program_is_refused_and_stays(log: str, bring: Any) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 3)
    execute(log, "CREATE TABLE counts (key VARCHAR PRIMARY KEY, total INTEGER)",
            "INSERT INTO counts VALUES ('theirs', 1)")  # fmt: skip
    with pytest.raises(ProjectionTableError, match="not made by this projection") as caught:
        await bring(log, Totals())
    assert (caught.value.projection, caught.value.table) == ("totals", "counts")
    assert rows(log, "counts") == [("theirs", 1)]
    async with EventStore.open(log) as store:
        assert (await store.append("n/1", [NewEvent("Counted", 1)])).position == 4


@BOTH
async def test_a_view_of_another_program_is_refused_and_stays(log: str, bring: Any) -> None:
    async with EventStore.open(log):
        execute(log, "CREATE VIEW counts AS SELECT 1 AS one")
    with pytest.raises(ProjectionTableError, match="not made by this projection"):
        await bring(log, Totals())
    assert rows(log, "counts") == [(1,)]


@BOTH
@pytest.mark.parametrize(
    "statement",
    [
        "CREATE INDEX counts ON theirs (a)",
        'CREATE INDEX "Counts" ON theirs (a)',
        "CREATE SEQUENCE counts",
        "CREATE TYPE counts AS ENUM ('a')",
        "CREATE MATERIALIZED VIEW counts AS SELECT 1 AS one",
    ],
)
async def test_what_else_has_the_name_of_a_table_is_refused_and_stays(
    log: str, bring: Any, statement: str
) -> None:
    on_sqlite = log.startswith("sqlite")
    if on_sqlite and "INDEX" not in statement:
        pytest.skip("SQLite has no such objects")
    async with EventStore.open(log):
        execute(log, "CREATE TABLE theirs (a INTEGER)", statement)
    if not on_sqlite and '"' in statement:
        await bring(log, Totals())  # Another name on PostgreSQL, where case counts.
        return
    with pytest.raises(ProjectionTableError, match="not made by this projection"):
        await bring(log, Totals())
    async with EventStore.open(log) as store:
        assert (await store.append("n/1", [NewEvent("Counted", 1)])).position == 1


@pytest.mark.promise("projection")
@BOTH
async def test_a_table_of_another_projection_is_refused_and_stays(log: str, bring: Any) -> None:
    class Other(Totals):
        name = "other"

    async with EventStore.open(log, inline=[Totals()]) as store:
        expected = await append_numbers(store, 5)
    with pytest.raises(ProjectionTableError, match="is one of projection 'totals'"):
        await bring(log, Other())
    assert read_totals(log) == expected


@pytest.mark.promise("projection")
@BOTH
async def test_a_new_version_drops_its_own_tables_and_no_others(log: str, bring: Any) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 4)
        execute(log, "CREATE TABLE theirs (at INTEGER)", "INSERT INTO theirs VALUES (1)")
    await bring(log, with_tables("stays", "goes"))
    assert {"stays", "goes", "theirs"} <= table_names(log)
    await bring(log, with_tables("stays", "comes", version=2))
    assert {"stays", "comes", "theirs"} <= (names := table_names(log))
    assert "goes" not in names
    assert rows(log, "comes") == rows(log, "stays") == [(1,), (2,), (3,), (4,)]
    assert rows(log, "theirs") == [(1,)]
    assert {row[1] for row in read_table(log, ledger_table)} == {"", "stays", "comes"}


@pytest.mark.promise("projection")
@BOTH
async def test_a_new_version_does_not_take_a_table_of_another_program(log: str, bring: Any) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 4)
    await bring(log, with_tables())
    execute(log, "CREATE TABLE theirs (at INTEGER)", "INSERT INTO theirs VALUES (1)")
    with pytest.raises(ProjectionTableError, match="not made by this projection"):
        await bring(log, with_tables("theirs", version=2))
    assert rows(log, "theirs") == [(1,)]


ALTERATIONS = (
    "ALTER TABLE counts ADD COLUMN extra INTEGER",
    "ALTER TABLE counts RENAME COLUMN total TO sum",
)


@BOTH
@pytest.mark.parametrize("alteration", ALTERATIONS)
async def test_a_table_that_was_altered_is_a_typed_error_that_says_how(
    log: str, bring: Any, alteration: str
) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store, 5)
    await bring(log, Totals())
    execute(log, alteration)
    with pytest.raises(ProjectionTableError, match="was altered: its columns are") as caught:
        await bring(log, Totals())
    assert "drop the table, and it is computed again" in str(caught.value)
    execute(log, "DROP TABLE counts")
    await bring(log, Totals())
    assert read_totals(log) == expected


@BOTH
async def test_an_index_of_another_program_on_the_tables_is_its_own_business(
    log: str, bring: Any
) -> None:
    await bring(log, Totals())
    execute(log, "CREATE INDEX theirs ON counts (total)")
    await bring(log, Totals())


@BOTH
async def test_tables_whose_checkpoint_was_removed_are_not_counted_twice(
    log: str, bring: Any
) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store, 5)
    await bring(log, Totals())
    execute(log, "DELETE FROM projection")
    await bring(log, Totals())
    assert read_totals(log) == expected


async def test_a_column_that_is_new_without_a_new_version_says_so(log: str) -> None:
    class Wider(Totals):
        metadata: ClassVar[MetaData] = Table(
            "counts",
            MetaData(),
            Column("key", String, primary_key=True),
            Column("total", Integer),
            Column("more", String),
        ).metadata

    await open_inline(log, Totals())
    with pytest.raises(ProjectionTableError, match="'more': raise the projection's version"):
        await open_inline(log, Wider())


async def test_a_table_that_is_new_without_a_new_version_has_every_event(log: str) -> None:
    async with EventStore.open(log, inline=[with_tables("one")]) as store:
        await append_numbers(store, 4)
    await open_inline(log, with_tables("one", "two"))
    assert rows(log, "two") == rows(log, "one") == [(1,), (2,), (3,), (4,)]


async def test_tables_that_a_program_without_a_ledger_made_are_taken_on(log: str) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        expected = await append_numbers(store, 5)
    execute(log, "DROP TABLE projection_tables", "DROP TABLE projection_failure")
    async with EventStore.open(log, inline=[Totals()]) as store:
        assert read_totals(log) == expected
        await store.append("more/1", [NewEvent("Counted", 7)])
    assert read_totals(log) == expected | {"more/1": 7}
    assert {row[1] for row in read_table(log, ledger_table)} == {"", "counts"}


async def test_a_handler_that_gives_work_instead_of_doing_it_fails_the_append(log: str) -> None:
    async def later() -> None:
        """Do nothing, later."""

    class Late(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            return later()  # type: ignore[return-value]

    async with EventStore.open(log, inline=[Late()]) as store:
        with pytest.raises(ProjectionError, match="make it a plain function"):
            await store.append("n/1", [NewEvent("Counted", 1)])
        assert (await store.head()).position == 0
