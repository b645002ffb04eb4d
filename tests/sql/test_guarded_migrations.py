"""Migrations, and events that hold their statements, change nothing but the program's own."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support import sql_definitions
from support.log_schema import describe_log
from support.sql_databases import computed_tables, each_kind, fresh_url, tables_of
from support.sql_tables import append_unchecked, file_of, read_log

from eventstore import EventStore
from projections.sql import MigrationError, ReplayError, SqlStorage
from projections.sql.check import check_events
from projections.sql.events import SchemaChange, schema_event
from projections.sql.postgres.replay import PostgresReplay
from projections.sql.sqlite.replay import SqliteReplay

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.sql_tables import Migrations

    from eventstore import Event, NewEvent
    from projections.sql._replay import Replay

PEOPLE = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT);"
STATEMENTS = {"sqlite": sql_definitions.SQLITE, "postgres": sql_definitions.POSTGRES}


kind = each_kind()


def describe(url: str) -> Any:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(file_of(url))) as raw:
            schema = raw.execute("SELECT * FROM sqlite_master ORDER BY type, name").fetchall()
        return [row for row in schema if "sql_capture" not in row[1]], len(read_log(url))
    found = describe_log(url)
    return found.schema, found.settings, len(read_log(url))


@pytest.mark.promise("sql")
def test_a_migration_that_reaches_beyond_its_own_tables_is_refused(
    storage: SqlStorage, migrations: Migrations, url: str, kind: str
) -> None:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    before = describe(url)
    for statement in STATEMENTS[kind]:
        migrations.write("2", statement)
        print("applies", statement)
        with pytest.raises(MigrationError):
            storage.apply_migrations(migrations.directory)
        assert describe(url) == before, statement


def schema_change(kind: str, statement: str) -> NewEvent:
    change = SchemaChange("x", "", kind, "2026-01-01T00:00:00+00:00", [statement], ["person"])
    return schema_event(change)


@pytest.mark.promise("sql")
def test_an_event_that_holds_such_a_statement_is_not_run(
    storage: SqlStorage, migrations: Migrations, url: str, kind: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.db"
    storage.apply_migrations(migrations.write("1", PEOPLE))
    hostile = [*STATEMENTS[kind], "DELETE FROM person", "SELECT 1", f"ATTACH '{outside}' AS other"]
    append_unchecked(url, *(schema_change(kind, statement) for statement in hostile))
    good, *bad = read_log(url)
    with replaying(url, tmp_path) as replay:
        replay.apply([good])
        replay.raw.execute("SAVEPOINT first")
        for event in bad:
            print("runs", event.data["statements"])
            once = type(replay)(replay.raw)
            once.tables = replay.tables
            with pytest.raises(ReplayError) as caught:
                compute(once, event)
            assert caught.value.position == event.position
            replay.raw.execute("ROLLBACK TO first")
    assert found_in(url) == [event.position for event in bad]
    assert not outside.exists()


def compute(replay: Replay, event: Event) -> None:
    """Apply an event as a rebuild does, which ends by looking at the names that are taken."""
    replay.apply([event])
    for error in replay.find_taken(()):
        raise error


def found_in(url: str) -> list[int | None]:
    """Return the positions that ``verify`` has findings of."""

    async def find() -> list[int | None]:
        async with EventStore.open(url, notify="none") as store:
            return [one.position for one in await check_events(store)]

    return anyio.run(find)


@contextmanager
def replaying(url: str, directory: Path) -> Iterator[Replay]:
    """Give a replay into a database that has a log of its own to lose."""
    target = fresh_url(url.partition(":")[0].replace("postgresql", "postgres"), directory, "other")
    with SqlStorage(target, notify="none") as storage:
        storage.open()
        with closing(storage._open_transaction()) as transaction:
            transaction.begin()
            kind = SqliteReplay if url.startswith("sqlite") else PostgresReplay
            replay = kind(transaction.raw)
            yield replay


def test_a_rebuild_stops_at_such_an_event_and_leaves_everything(
    storage: SqlStorage, migrations: Migrations, url: str, kind: str
) -> None:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    with storage.connection() as c:
        c.execute("INSERT INTO person (id, name) VALUES (1, 'ana')")
    position = append_unchecked(url, schema_change(kind, "DROP TABLE consumer"))
    before = tables_of(url), describe(url)
    with pytest.raises(ReplayError, match="consumer") as caught:
        storage.rebuild()
    assert caught.value.position == position
    assert (tables_of(url), describe(url)) == before


def test_triggers_of_earlier_logs_keep_their_names(migrations: Migrations, tmp_path: Path) -> None:
    url = fresh_url("sqlite", tmp_path)
    with SqlStorage(url) as storage:
        storage.apply_migrations(migrations.write("1", PEOPLE))
        migrations.write("2", sql_definitions.FREE_ONCE)
        with pytest.raises(MigrationError, match="stream"):
            storage.apply_migrations(migrations.directory)
        append_unchecked(url, schema_change("sqlite", sql_definitions.FREE_ONCE))
        assert storage.rebuild() == 2
        assert found_in(url) == []


def test_ordinary_definitions_are_applied_and_computed_again(
    migrations: Migrations, tmp_path: Path
) -> None:
    url = fresh_url("postgres", tmp_path)
    with SqlStorage(url) as storage:
        storage.apply_migrations(migrations.write("1", PEOPLE))
        storage.apply_migrations(migrations.write("2", sql_definitions.ORDINARY_POSTGRES))
        before = tables_of(url)
        storage.rebuild()
        assert tables_of(url) == before == computed_tables(url)
        assert len(before["task"]) == 1
        assert found_in(url) == []
