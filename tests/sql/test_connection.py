"""Connections on SQLite: what only SQLite has, and what is refused."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.sql_statements import SQLITE_REFUSED
from support.sql_tables import PEOPLE, assert_computed, changes, file_of

from eventstore.errors import StorageError
from projections.sql import SqlRefusedError, SqlStorage
from projections.sql._identifiers import RESERVED
from projections.sql.sqlite.connection import SqliteConnection

if TYPE_CHECKING:
    from collections.abc import Iterable

    from support.sql_tables import Migrations

INSERT = "INSERT INTO person (id, name, note) VALUES (?, ?, ?)"


@pytest.fixture
def people(storage: SqlStorage, migrations: Migrations) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    return storage


def test_a_change_of_type_alone_is_a_change(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", 1))
    with people.connection() as c:
        c.execute("UPDATE person SET note = 1.0")
    assert [repr(row) for row in changes(url)[1]] == [
        repr(("person", "update", (1, "ana", 1), (1, "ana", 1.0)))
    ]


def test_a_query_can_be_read_while_its_rows_are_changed(people: SqlStorage) -> None:
    with people.connection() as c:
        c.executemany(INSERT, [(number, str(number), None) for number in range(500)])
    with people.connection() as c, people.connection() as other:
        rows = c.execute("SELECT id FROM person")
        first = next(rows)
        _add(people, 1000)
        c.execute("UPDATE person SET note = 1 WHERE id = ?", (first["id"],))
        assert [c.execute("UPDATE person SET note = 2 WHERE id = ?", row) for row in rows]
        c.commit()
        assert other.execute("SELECT count(*) FROM person WHERE note = 2").fetchone()[0] == 499


def test_a_cursor_with_rows_left_gives_those_of_its_next_statement(people: SqlStorage) -> None:
    for number in (1, 2, 3):
        _add(people, number)
    with people.connection() as c:
        cursor = c.cursor()
        for number in (10, 20):  # The second statement is known to write.
            assert next(cursor.execute("SELECT id FROM person ORDER BY id"))["id"] == 1
            _add(people, number)
            found = cursor.execute(f"{INSERT} RETURNING id", (number + 1, str(number + 1), None))
            assert [row["id"] for row in found.fetchall()] == [number + 1]
            c.commit()
        assert next(cursor.execute("SELECT id FROM person ORDER BY id"))["id"] == 1
        cursor.executemany(INSERT, [(30, "30", None)])
        assert cursor.fetchall() == []
    with people.connection() as c:
        rows = c.execute("SELECT id FROM person ORDER BY id").fetchall()
        assert [row["id"] for row in rows] == [1, 2, 3, 10, 11, 20, 21, 30]


def test_a_storage_connects_without_sqlalchemy_and_has_its_functions(url: str) -> None:
    program = """
import sys
from projections.sql import SqlStorage
with SqlStorage(sys.argv[1], notify="none") as storage, storage.connection() as c:
    query = "SELECT 'abc' REGEXP 'b', NULL REGEXP 'b', 'abc' REGEXP '^b', floor(1.5)"
    print(*c.execute(query).fetchone(), "sqlalchemy" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, url], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("1 None 0 1 False\n", "")


@pytest.mark.parametrize("ending", ["begin", "commit", "rollback", "close", "reads"])
def test_rows_that_are_left_are_the_same_in_each_way_to_read_them(
    people: SqlStorage, ending: str
) -> None:
    with people.connection() as c:
        c.executemany(INSERT, [(number, str(number), None) for number in range(9)])
    query = "SELECT id FROM person ORDER BY id"
    with people.connection() as c:
        if ending in {"commit", "rollback"}:
            c.execute(INSERT, (20, "20", None))
        kept = [c.execute(query) for _ in range(5)]
        assert [next(cursor)["id"] for cursor in kept] == [0] * 5
        kept[4].close()
        for _ in range(2_500 if ending == "reads" else 0):  # Those that are gone are forgotten.
            c.execute("SELECT 1")
        if ending in {"commit", "rollback", "close"}:
            getattr(c, ending)()
        else:
            c.execute("DELETE FROM person")
        ways: list[Iterable[Any]] = [
            kept[0],
            kept[1].fetchall(),
            kept[2].fetchmany(20),
            iter(kept[3].fetchone, None),
        ]
        expected = [*range(1, 9), *([20] if ending in {"commit", "rollback"} else [])]
        assert [[row["id"] for row in rows] for rows in ways] == [
            [] if ending == "close" else expected
        ] * 4
        assert kept[4].fetchall() == []


def test_a_statement_that_is_known_to_read_is_judged_anew_with_the_schema(
    people: SqlStorage, migrations: Migrations
) -> None:
    query = "SELECT * FROM person"
    with people.connection() as c:
        assert [list(c.execute(query)) for _ in range(3)] == [[], [], []]
        people.apply_migrations(migrations.write("2", "ALTER TABLE person RENAME TO someone;"))
        with pytest.raises(sqlite3.OperationalError, match="no such table"):
            c.execute(query)
        with pytest.raises(sqlite3.ProgrammingError, match="bindings"):
            c.execute("SELECT * FROM someone WHERE id = ?")
        c.execute("INSERT INTO someone (id, name) VALUES (1, 'ana')")
        assert c.in_transaction
        assert c.execute("SELECT count(*) FROM someone").fetchone()[0] == 1
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        c.execute("SELECT count(*) FROM someone")


def _add(storage: SqlStorage, number: int) -> None:
    with storage.connection() as c:
        c.execute(INSERT, (number, str(number), None))


def test_a_statement_that_rolls_back_all_lets_the_next_writer_go(
    people: SqlStorage, url: str
) -> None:
    with people.connection() as c:
        c.execute(INSERT, (1, "ana", None))
        with pytest.raises(sqlite3.IntegrityError):
            c.execute("INSERT OR ROLLBACK INTO person (name) VALUES ('ana')")
        assert not c.in_transaction
        _add(people, 5)
        c.execute(INSERT, (6, "six", None))
    assert [[new[0] for _, _, _, new in one] for one in changes(url)] == [[5], [6]]


def test_a_second_writer_in_the_same_thread_is_told_rather_than_left_waiting(
    people: SqlStorage,
) -> None:
    with people.connection() as c, people.connection() as other:
        c.execute(INSERT, (1, "ana", None))
        with pytest.raises(StorageError, match="this thread already writes"):
            other.execute(INSERT, (2, "ben", None))
        c.commit()
        other.execute(INSERT, (2, "ben", None))


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("CREATE TABLE x (id INTEGER PRIMARY KEY)", "by migrations only"),
        ("DROP TABLE person", "by migrations only"),
        ("ALTER TABLE person ADD COLUMN x", "by migrations only"),
        ("CREATE TRIGGER t AFTER INSERT ON person BEGIN SELECT 1; END", "by migrations only"),
        ("DROP TRIGGER \"sql_capture after insert person\"", "by migrations only"),
        ("DELETE FROM event", "not one that a migration"),
        ("UPDATE head SET position = 0", "not one that a migration"),
        ("DELETE FROM sql_capture", "not one that a migration"),
        ("DELETE FROM schema_migrations", "not one that a migration"),
        ("WITH x AS (SELECT 1) INSERT INTO stream SELECT 1, 2, 3", "not one that a migration"),
        ("PRAGMA recursive_triggers = ON", "recursive_triggers"),
        ("PRAGMA writable_schema = ON", "writable_schema"),
        ("PRAGMA synchronous = OFF", "synchronous"),
        ("PRAGMA journal_mode = DELETE", "journal_mode"),
        ("ATTACH ':memory:' AS other", "another database"),
        ("ATTACH ':memory:' AS event", "another database"),
        ("VACUUM INTO '/nowhere/copy.db'", "another database|within a transaction"),
        ("CREATE TEMP TABLE event (id)", "name of the log's own"),
        ('CREATE TEMPORARY TABLE "Head" (id)', "name of the log's own"),
        ("CREATE TABLE temp.[STREAM] (id)", "by migrations only"),
        ("CREATE TEMP TABLE [STREAM] (id)", "name of the log's own"),
        ("CREATE TEMP TABLE IF NOT EXISTS `sql_capture` AS SELECT 1", "name of the log's own"),
        ("CREATE TEMP TABLE projection (id)", "name of the log's own"),
        ("CREATE TEMP VIEW consumer AS SELECT 1", "name of the log's own"),
        ("CREATE TEMP TRIGGER t AFTER INSERT ON event BEGIN SELECT 1; END", "temporary trigger"),
        ("ALTER TABLE person RENAME TO projection", "by migrations only"),
        *SQLITE_REFUSED,
    ],
)  # fmt: skip
def test_what_would_escape_the_log_is_refused(
    people: SqlStorage, url: str, sql: str, reason: str
) -> None:
    with people.connection() as c:
        for _ in range(2):
            with pytest.raises((SqlRefusedError, sqlite3.OperationalError), match=reason):
                c.execute(sql)
        c.execute(INSERT, (1, "ana", None))
        with pytest.raises((SqlRefusedError, sqlite3.OperationalError), match=reason):
            c.execute(sql)
    assert len(changes(url)) == 1
    assert_computed(url)


def test_temporary_tables_are_the_callers_own(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute("CREATE TEMP TABLE mine (id)")
        c.execute("INSERT INTO mine VALUES (4), (5)")
        c.execute("INSERT INTO person (id) SELECT id FROM mine")
        c.execute("DROP TABLE mine")
    assert [[new[0] for _, _, _, new in one] for one in changes(url)] == [[4, 5]]


def test_temporary_tables_stand_in_for_nothing_of_the_log(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        assert isinstance(c, SqliteConnection)
        with c._own_statements():
            for name in [*RESERVED, "person"]:
                c._raw.execute(f'CREATE TEMP TABLE "{name}" AS SELECT 1 AS one')
        c.execute("INSERT INTO main.person (id, name) VALUES (1, 'ana')")
    assert [[new[0] for _, _, _, new in one] for one in changes(url)] == [[1]]
    assert_computed(url)


def test_what_only_the_commit_finds_wrong_leaves_nothing(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    late = """CREATE TABLE child (
        id INTEGER PRIMARY KEY, p REFERENCES person DEFERRABLE INITIALLY DEFERRED
    );"""
    storage.apply_migrations(migrations.write("1", PEOPLE + late))
    with pytest.raises(sqlite3.IntegrityError), storage.connection() as c:
        c.execute("INSERT INTO child VALUES (1, 9)")
    assert changes(url) == []
    with storage.connection() as c:
        c.execute("INSERT INTO child VALUES (1, NULL)")
    assert len(changes(url)) == 1


def test_a_key_that_is_null_is_refused(storage: SqlStorage, migrations: Migrations) -> None:
    storage.apply_migrations(migrations.write("1", "CREATE TABLE t (id TEXT PRIMARY KEY, x);"))
    with storage.connection() as c:
        with pytest.raises(sqlite3.IntegrityError, match="primary key of t"):
            c.execute("INSERT INTO t (x) VALUES (1)")
        c.execute("INSERT INTO t VALUES ('a', 1)")
        with pytest.raises(sqlite3.IntegrityError, match="primary key of t"):
            c.execute("UPDATE t SET id = NULL")


def test_settings_of_one_caller_do_not_reach_the_next(people: SqlStorage) -> None:
    with people.connection() as c:
        assert isinstance(c, SqliteConnection)
        c.row_factory = None
        c.create_function("twice", 1, lambda value: 2 * value)
        assert c.execute("SELECT twice(2)").fetchone() == (4,)
    with people.connection() as c:
        c.execute("PRAGMA foreign_keys=OFF")
        c.execute("CREATE TEMP TABLE mine (id)")
    with people.connection() as c:
        assert c.execute("PRAGMA foreign_keys").fetchone()["foreign_keys"] == 1
        for sql in ("SELECT twice(2)", "SELECT * FROM mine"):
            with pytest.raises(sqlite3.OperationalError):
                c.execute(sql)


def test_a_file_that_was_replaced_is_noticed_by_readers_too(people: SqlStorage, url: str) -> None:
    with people.connection() as c:
        c.execute("SELECT * FROM person").fetchall()
    file = file_of(url)
    copy = file.with_name("copy")
    copy.write_bytes(file.read_bytes())
    copy.replace(file)
    with pytest.raises(StorageError, match="replaced"), people.connection():
        raise AssertionError
