"""The contract on each database: sqlite3's API, and one event per transaction."""

from __future__ import annotations

import sqlite3
import subprocess
from itertools import chain
from typing import TYPE_CHECKING

import psycopg
import pytest
from msgspec.structs import replace
from support.postgres import shared_server
from support.processes import start
from support.sql_databases import computed_tables, each_kind, fresh_url, tables_of
from support.sql_tables import append_unchecked, changes, read_log

from eventstore import ConfigError, EventStore, ProjectionError
from eventstore.errors import HistoryDivergedError
from projections import ProjectionRunner
from projections.sql import (
    Change,
    MigrationError,
    ReplayError,
    SqlCopy,
    SqlRefusedError,
    SqlStorage,
)
from projections.sql.events import rows_events

if TYPE_CHECKING:
    from pathlib import Path

    from support.sql_tables import Migrations

INSERT = "INSERT INTO person (id, name, note) VALUES (?, ?, ?)"
PEOPLE = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT UNIQUE, note TEXT);"


kind = each_kind()


@pytest.fixture
def people(storage: SqlStorage, migrations: Migrations) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    return storage


def test_the_backend_is_named(storage: SqlStorage, url: str) -> None:
    assert storage.backend_name == url.partition(":")[0].replace("postgresql", "postgres")


@pytest.mark.promise("sql")
def test_what_is_computed_from_the_log_is_what_is_there(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    migrations.write(
        "1",
        PEOPLE
        + """
        CREATE TABLE pair (a INTEGER, b TEXT, x DOUBLE PRECISION, y BIGINT,
            d INTEGER GENERATED ALWAYS AS (a * 2) STORED, PRIMARY KEY (a, b));
        CREATE TABLE child (id INTEGER PRIMARY KEY, "order" INTEGER
            REFERENCES person (id) ON DELETE CASCADE ON UPDATE CASCADE);""",
    )
    storage.apply_migrations(migrations.directory)
    with storage.connection() as c:
        c.executemany(INSERT, [(1, "ana", "é"), (2, "ben", None), (3, "cai", "")])
        c.executemany(
            "INSERT INTO pair (a, b, x, y) VALUES (?, ?, ?, ?)",
            [(1, "x", 0.1, 2**63 - 1), (1, "y", -2.5e-310, -(2**63)), (2, "x", 1e300, None)],
        )
        c.execute('INSERT INTO child (id, "order") VALUES (1, 1), (2, 2), (3, 3), (4, NULL)')
    migrations.write("2", "ALTER TABLE person ADD COLUMN extra INTEGER DEFAULT 5;"
                     "UPDATE person SET extra = id WHERE id > 1;")  # fmt: skip
    storage.apply_migrations(migrations.directory)
    with storage.connection() as c:
        c.execute("UPDATE person SET id = id + 10 WHERE id = ?", (1,))
        c.execute("DELETE FROM person WHERE name = ?", ("ben",))
        c.execute(
            "INSERT INTO person (id, name, note) VALUES (?, ?, ?) "
            "ON CONFLICT (name) DO UPDATE SET note = excluded.note",
            (99, "cai", "again"),
        )
        c.execute("UPDATE pair SET a = a + 10, x = -x")
    before = tables_of(url)
    assert computed_tables(url) == before
    storage.rebuild()
    assert tables_of(url) == before
    with storage.connection() as c:
        c.execute("DELETE FROM pair")
    assert len(changes(url)) == 4


def test_a_table_without_a_key_is_refused_by_its_name(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    with pytest.raises(MigrationError, match="'nokey' has no primary key"):
        storage.apply_migrations(migrations.write("1", PEOPLE + "CREATE TABLE nokey (a INTEGER);"))
    with pytest.raises(MigrationError, match="leave BEGIN out"):
        storage.apply_migrations(migrations.write("1", "BEGIN; " + PEOPLE))
    assert read_log(url) == []
    assert storage.apply_migrations(migrations.write("1", PEOPLE)) == ["1"]
    assert storage.apply_migrations(migrations.directory) == []
    migrations.write("1", PEOPLE + " ")
    with pytest.raises(MigrationError, match="changed after"):
        storage.apply_migrations(migrations.directory)


@pytest.mark.promise("sql")
@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE x (id INTEGER PRIMARY KEY)",
        "DROP TABLE person",
        "ALTER TABLE person ADD COLUMN x INTEGER",
        "UPDATE consumer SET epoch = 9",
        "INSERT INTO schema_migrations VALUES ('a', 'b', 'c')",
        "ATTACH 'x' AS y",
    ],
)
def test_what_would_escape_the_log_is_refused(people: SqlStorage, url: str, sql: str) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", None))
    consume = "INSERT INTO consumer (name, position, hash, epoch, owner, seen_us) VALUES"
    before = tables_of(url)
    with pytest.raises(SqlRefusedError):
        _run(people, f"{consume} ('a', 0, 'x', 1, 'o', 1)" if "consumer" in sql else sql)
    assert tables_of(url) == before
    assert len(changes(url)) == 1


def _run(storage: SqlStorage, sql: str) -> None:
    with storage.connection() as c:
        c.execute(sql)


def test_a_transaction_is_one_event_with_its_rows_in_order(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", "x"))
        c.execute("UPDATE person SET id = 5, note = 'y' WHERE name = ?", ("ana",))
        c.execute("DELETE FROM person")
    assert changes(url) == [
        [
            ("person", "insert", None, (1, "ana", "x")),
            ("person", "update", (1, "ana", "x"), (5, "ana", "y")),
            ("person", "delete", (5, "ana", "y"), None),
        ]
    ]
    assert [event.type for event in read_log(url)] == ["SchemaChanged", "RowsChanged"]


def test_an_exception_rolls_back_and_is_raised_again(people: SqlStorage, url: str) -> None:
    with pytest.raises(ZeroDivisionError):
        _fail_after_writing(people)
    assert changes(url) == []
    with people.connection() as c:
        assert c.execute("SELECT count(*) FROM person").fetchone()[0] == 0


def _fail_after_writing(storage: SqlStorage) -> None:
    with storage.connection() as c:
        c.execute(INSERT, (1, "ana", None))
        raise ZeroDivisionError


def test_what_changes_nothing_appends_nothing(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", None))
    with people.connection() as c:
        c.execute("UPDATE person SET name = 'ana'")
        c.execute("DELETE FROM person WHERE id = 9")
        c.execute("INSERT INTO person (id, name) VALUES (1, 'ana') ON CONFLICT DO NOTHING")
        c.execute("SELECT * FROM person").fetchall()
    assert len(changes(url)) == 1


def test_rows_come_by_name_and_by_index(people: SqlStorage) -> None:
    with people.connection() as c:
        done = c.execute(INSERT, (7, "ana", "x"))
        assert done.rowcount == 1
        c.executemany(INSERT, [(8, "ben", None), (9, "cai", None)])
        found = c.execute("SELECT id, name FROM person ORDER BY id")
        assert [column[0] for column in found.description] == ["id", "name"]
        row = found.fetchone()
        assert (row["name"], row[0], row.keys()) == ("ana", 7, ["id", "name"])
        assert [tuple(row) for row in found.fetchmany(1)] == [(8, "ben")]
        assert [row["id"] for row in found] == [9]
        assert found.fetchone() is None
        returned = c.execute("UPDATE person SET note = name RETURNING note").fetchall()
        assert [row["note"] for row in returned] == ["ana", "ben", "cai"]


def _add(storage: SqlStorage, number: int) -> None:
    with storage.connection() as c:
        c.execute(INSERT, (number, str(number), None))


def test_commit_and_rollback_go_on_with_another_transaction(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        for number in (1, 2, 3):
            c.execute(INSERT, (number, str(number), None))
            assert c.in_transaction
            c.rollback() if number == 2 else c.commit()
            assert not c.in_transaction
    assert [[new[0] for _, _, _, new in one] for one in changes(url)] == [[1], [3]]


def test_transactions_told_in_sql_are_recorded_too(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        for number in (1, 2):
            # The same texts again, which the driver has kept compiled.
            c.execute("BEGIN")
            c.execute(INSERT, (number, str(number), None))
            c.execute("COMMIT")
        c.execute("BEGIN")
        c.execute("DELETE FROM person")
        c.execute("ROLLBACK")
        with pytest.raises(sqlite3.OperationalError, match="no transaction"):
            c.execute("COMMIT")
    assert [len(one) for one in changes(url)] == [1, 1]


def test_savepoints_take_back_what_was_captured(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", None))
        c.execute("SAVEPOINT a")
        c.execute(INSERT, (2, "ben", None))
        c.execute("ROLLBACK TO a")
        c.execute(INSERT, (3, "cai", None))
        c.execute("RELEASE a")
    assert [[new[0] for _, _, _, new in one] for one in changes(url)] == [[1, 3]]


def test_a_statement_that_fails_leaves_the_others(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", None))
        with pytest.raises(sqlite3.IntegrityError):
            c.execute("INSERT INTO person (id, name) VALUES (2, 'ben'), (3, 'ana')")
        with pytest.raises(sqlite3.OperationalError):
            c.execute("INSERT INTO nowhere VALUES (1)")
    assert [[new[0] for _, _, _, new in one] for one in changes(url)] == [[1]]


def test_an_open_connection_blocks_no_writer_until_it_writes(people: SqlStorage) -> None:
    with people.connection() as c:
        rows = c.execute("SELECT * FROM person")
        _add(people, 1)
        assert rows.fetchall() == []
        assert len(c.execute("SELECT * FROM person").fetchall()) == 1


def test_a_script_runs_within_the_transaction(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", None))
        c.executescript(
            "INSERT INTO person (id, note) VALUES (2, 'a;b'); -- and;\n"
            "/* ; */ DELETE FROM person WHERE id = 1; ; UPDATE person SET note = 'c'"
        )
        c.rollback()
        c.executescript("INSERT INTO person (id, name) VALUES (3, 'x;')")
    assert changes(url) == [[("person", "insert", None, (3, "x;", None))]]


def test_a_closed_connection_is_of_no_use(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", None))
        c.close()
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        c.execute("SELECT 1")
    assert changes(url) == []


@pytest.mark.promise("sql")
def test_of_processes_that_migrate_at_once_each_file_is_applied_by_one(
    migrations: Migrations, url: str
) -> None:
    migrations.write("1", PEOPLE)
    for number in range(2, 12):
        migrations.write(
            f"{number:02}", f"CREATE TABLE t{number} (id INTEGER PRIMARY KEY, x TEXT);"
        )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    workers = [start("sql_migrate", url, migrations.directory, **pipes) for _ in range(3)]
    try:
        for worker in workers:
            assert worker.stdout
            assert worker.stdout.readline() == "ready\n"
        said = [worker.communicate("go\n", timeout=60)[0].split() for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    assert sorted(chain(*said)) == sorted(file.stem for file in migrations.directory.iterdir())
    assert computed_tables(url) == tables_of(url)


@pytest.mark.promise("sql")
@pytest.mark.anyio
async def test_a_copy_in_another_database_is_kept_from_the_log_alone(
    people: SqlStorage, migrations: Migrations, kind: str, url: str, tmp_path: Path
) -> None:
    there = fresh_url(kind, tmp_path, "copy")
    async with EventStore.open(url) as store:
        runner = ProjectionRunner(store, SqlCopy(there))
        _run(people, "INSERT INTO person VALUES (1, 'ana', NULL), (2, 'ben', 'x')")
        await runner.catch_up()
        _run(people, "UPDATE person SET id = id + 10, note = 'y' WHERE name = 'ana'")
        migrations.write("2", "ALTER TABLE person ADD COLUMN extra INTEGER DEFAULT 3;"
                         "CREATE TABLE more (id INTEGER PRIMARY KEY); DELETE FROM person "
                         "WHERE id = 2; INSERT INTO more VALUES (1);")  # fmt: skip
        people.apply_migrations(migrations.directory)
        _run(people, "INSERT INTO person (id, name) VALUES (7, 'cai')")
        await runner.catch_up()
        assert tables_of(there, ["person", "more"]) == tables_of(url, ["person", "more"])
        await runner.rebuild()
        assert tables_of(there, ["person", "more"]) == tables_of(url, ["person", "more"])
    async with EventStore.open("memory://") as other:
        with pytest.raises(HistoryDivergedError):
            await ProjectionRunner(other, SqlCopy(there)).catch_up()


@pytest.mark.anyio
async def test_a_copy_is_kept_in_no_database_that_holds_something_else(
    people: SqlStorage, url: str
) -> None:
    _run(people, "INSERT INTO person VALUES (1, 'ana', NULL)")
    before = tables_of(url)
    async with EventStore.open(url) as store:
        for call in ("rebuild", "catch_up"):
            with pytest.raises(ConfigError, match="is no copy of these tables, and holds '"):
                await getattr(ProjectionRunner(store, SqlCopy(url)), call)()
    assert tables_of(url) == before
    _run(people, "INSERT INTO person VALUES (2, 'ben', NULL)")
    assert computed_tables(url) == tables_of(url)


ANOTHER_ANA = {"id": 9, "name": "ana", "note": None}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (Change("person", "insert", {"id": 9}, None, ANOTHER_ANA), "(?i)unique"),
        (Change("nowhere", "insert", {"id": 9}, None, {"id": 9}), "makes the table 'nowhere'"),
    ],
    ids=["a row in the way", "no such table"],
)
def test_a_change_that_does_not_fit_is_named_and_the_tables_stay(
    people: SqlStorage, url: str, change: Change, reason: str
) -> None:
    for number, name in enumerate(("ana", "ben")):
        _run(people, f"INSERT INTO person VALUES ({number}, '{name}', NULL)")
    before = tables_of(url)
    bad = append_unchecked(url, *rows_events([change]))
    append_unchecked(url, *rows_events([replace(change, table="person")]))
    with pytest.raises(ReplayError, match=reason) as error:
        people.rebuild()
    assert error.value.position == bad
    assert tables_of(url) == before


@pytest.mark.anyio
async def test_a_copy_of_a_log_whose_migration_was_redacted_stays_as_it_was(
    people: SqlStorage, kind: str, url: str, tmp_path: Path
) -> None:
    there = fresh_url(kind, tmp_path, "copy")
    _run(people, "INSERT INTO person VALUES (1, 'ana', NULL)")
    async with EventStore.open(url) as store:
        runner = ProjectionRunner(store, SqlCopy(there))
        await runner.catch_up()
        before = tables_of(there, ["person"])
        assert before["person"]
        await store.redact(1, "must not be in the log")
        with pytest.raises(ProjectionError, match="makes the table 'person'") as error:
            await runner.rebuild()
        assert error.value.position == 2
    assert tables_of(there, ["person"]) == before


@pytest.mark.slow
def test_a_schema_with_nothing_but_a_function_is_no_place_for_a_copy() -> None:
    there = shared_server().fresh_schema()
    with psycopg.connect(there, autocommit=True) as raw:
        raw.execute("CREATE FUNCTION mine() RETURNS integer LANGUAGE sql AS 'SELECT 1'")
        with pytest.raises(ConfigError, match="holds 'mine'"):
            SqlCopy(there).open("some log")
        raw.execute("SELECT mine()")
