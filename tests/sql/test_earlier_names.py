"""Names that version 0.1.0 left to programs: their tables go on, and are computed again."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.sql_databases import each_kind, fresh_url, tables_of
from support.sql_tables import append_unchecked, read_log

from eventstore import EventStore
from projections.runner import ProjectionRunner
from projections.sql import MigrationError, ReservedNameError, SqlCopy, SqlRefusedError, SqlStorage
from projections.sql._dialect import append_rows
from projections.sql.check import check_events
from projections.sql.events import SchemaChange, schema_event

if TYPE_CHECKING:
    from pathlib import Path

    from support.sql_tables import Migrations

MOMENT = "2026-01-01T00:00:00+00:00"
EARLIER = [
    "CREATE TABLE touched (id INTEGER PRIMARY KEY, place TEXT)",
    "CREATE TABLE projection (id INTEGER PRIMARY KEY, film TEXT)",
    "CREATE INDEX named_lock ON touched (place)",
    "CREATE VIEW projection_tables AS SELECT id FROM touched",
]
TABLES = ["projection", "touched"]


kind = each_kind()


def definitions(kind: str, *statements: str, tables: list[str]) -> Any:
    return schema_event(SchemaChange("0", "", kind, MOMENT, [*statements], tables))


@pytest.fixture
def earlier(storage: SqlStorage, kind: str) -> SqlStorage:
    """Make tables as version 0.1.0 did, with an event of their definitions and one of a row."""
    dialect = storage._dialect
    with closing(storage.open()._open_transaction()) as transaction:
        transaction.begin()
        raw: Any = transaction.raw
        for statement in EARLIER:
            raw.execute(statement)
        schema = dialect.schema_type(raw)
        schema.write_ledger("0", "", MOMENT)
        dialect.capture_type(raw).install([schema.read_table(name) for name in TABLES])
        append_rows(transaction, [definitions(kind, *EARLIER, tables=TABLES)])
        transaction.commit()
    with storage.connection() as c:
        c.execute("INSERT INTO touched VALUES (1, 'a')")
        c.execute("INSERT INTO projection VALUES (1, 'b')")
    return storage


def found(url: str) -> list[Any]:
    async def find() -> list[Any]:
        async with EventStore.open(url, notify="none") as store:
            return [one.position for one in await check_events(store)]

    return anyio.run(find)


@pytest.mark.promise("sql")
def test_tables_of_such_names_are_written_and_computed_again(earlier: SqlStorage, url: str) -> None:
    with earlier.connection() as c:
        c.execute("UPDATE touched SET place = 'c'")
    before = tables_of(url, TABLES)
    assert earlier.rebuild() == len(read_log(url)) == 3
    assert tables_of(url, TABLES) == before
    with earlier.connection() as c:
        c.execute("DELETE FROM projection")
    assert len(read_log(url)) == 4
    assert found(url) == []


@pytest.mark.promise("sql")
def test_migrations_keep_such_a_table_until_one_renames_it(
    earlier: SqlStorage, url: str, kind: str, migrations: Migrations, tmp_path: Path
) -> None:
    earlier.apply_migrations(migrations.write("1", "CREATE TABLE other (id INTEGER PRIMARY KEY);"))
    with earlier.connection() as c:
        c.execute("INSERT INTO touched VALUES (2, 'x')")
    migrations.write("2", "ALTER TABLE touched ADD COLUMN n TEXT; UPDATE touched SET n = 1;")
    migrations.write(
        "3", "ALTER TABLE touched RENAME TO seen; INSERT INTO seen VALUES (3, 'z', 1);"
    )
    others = "DROP VIEW projection_tables; DROP INDEX named_lock;"
    if kind == "postgres":
        others += "ALTER INDEX projection_pkey RENAME TO film_pkey;"
    migrations.write("31", f"{others} ALTER TABLE projection RENAME TO film;")
    earlier.apply_migrations(migrations.directory)
    migrations.write("4", "CREATE TABLE touched (id INTEGER PRIMARY KEY);")
    with pytest.raises(MigrationError, match="touched"):
        earlier.apply_migrations(migrations.directory)
    before = tables_of(url, ["film", "other", "seen"])
    assert len(before["seen"]) == 3
    earlier.rebuild()
    assert tables_of(url, ["film", "other", "seen"]) == before
    # Elsewhere none of the names was there before.
    snapshot, target = tmp_path / "snapshot", fresh_url(kind, tmp_path, "target")
    earlier.export_snapshot(snapshot)
    with SqlStorage(target, notify="none") as imported:
        imported.import_snapshot(snapshot)
        imported.rebuild()
    assert tables_of(target, ["film", "other", "seen"]) == before


@pytest.mark.promise("sql")
def test_a_copy_has_no_table_of_a_log_to_protect(
    earlier: SqlStorage, url: str, kind: str, tmp_path: Path
) -> None:
    target = fresh_url(kind, tmp_path, "copy")
    anyio.run(_copy, url, target)
    with earlier.connection() as c:
        c.execute("INSERT INTO touched VALUES (2, 'x')")
    dropped = definitions(kind, "DROP INDEX named_lock", tables=TABLES)
    append_unchecked(url, dropped)
    anyio.run(_copy, url, target)
    assert tables_of(target, TABLES) == tables_of(url, TABLES)


async def _copy(url: str, target: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        await ProjectionRunner(store, SqlCopy(target)).catch_up()


@pytest.mark.promise("sql")
@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE TABLE projection_failure (id INTEGER PRIMARY KEY)", "projection_failure"),
        ('CREATE VIEW "Log_Incarnation" AS SELECT 1 AS one', "log_incarnation"),
        ("ALTER TABLE touched RENAME TO projection_redacted", "projection_redacted"),
        ("CREATE TABLE sql_captured (id INTEGER PRIMARY KEY)", "sql_captured"),
        ("CREATE INDEX event_stream_version ON touched (place)", "event_stream_version"),
    ],
)
def test_a_name_that_no_object_had_before_is_refused_by_its_position(
    earlier: SqlStorage, url: str, kind: str, statement: str, name: str
) -> None:
    before = tables_of(url, TABLES)
    tables = ["projection", name] if "RENAME TO" in statement else TABLES
    position = append_unchecked(url, definitions(kind, statement, tables=tables))
    append_unchecked(url, definitions(kind, tables=tables))
    with pytest.raises(ReservedNameError, match="left to programs") as caught:
        earlier.rebuild()
    assert (caught.value.position, caught.value.name) == (position, name)
    assert tables_of(url, TABLES) == before
    assert found(url) == [position]


def test_tables_of_the_logs_projections_stay_theirs(
    storage: SqlStorage, url: str, kind: str
) -> None:
    with closing(storage.open()._open_transaction()) as transaction:
        transaction.begin()
        transaction.raw.execute("CREATE TABLE touched (id INTEGER PRIMARY KEY)")
        transaction.commit()
    position = append_unchecked(url, definitions(kind, "DROP TABLE touched", tables=[]))
    with pytest.raises(ReservedNameError) as caught:
        storage.rebuild()
    assert caught.value.position == position
    with storage.connection() as c, pytest.raises(SqlRefusedError):
        c.execute("DELETE FROM touched")
    assert found(url) == [position]
