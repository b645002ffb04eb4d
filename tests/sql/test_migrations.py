"""Migrations are applied once each, in order, completely or not at all, and are events."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.sql_tables import (
    PEOPLE,
    assert_computed,
    changes,
    definitions,
    definitions_of,
    dump_file,
    file_of,
    read_log,
)

from eventstore.errors import ConfigError
from projections.sql import MigrationError, SqlRefusedError, SqlStorage

if TYPE_CHECKING:
    from pathlib import Path

    from support.sql_tables import Migrations


def assert_same_when_computed(url: str) -> None:
    with closing(sqlite3.connect(file_of(url))) as raw:
        assert definitions_of(url) == definitions(raw)
    assert_computed(url)


def test_files_are_applied_in_order_once_each_by_their_stems(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    migrations.write("002_b", "ALTER TABLE person ADD COLUMN b DEFAULT 'x;y';")
    migrations.write("001_a", PEOPLE)
    migrations.write("002_a", "ALTER TABLE person ADD COLUMN a; -- twice the number")
    (migrations.directory / "003.txt").write_text("no migration")
    assert storage.apply_migrations(migrations.directory) == ["001_a", "002_a", "002_b"]
    migrations.write("010", "CREATE INDEX person_note ON person (note)")
    assert storage.apply_migrations(migrations.directory) == ["010"]
    assert storage.apply_migrations(migrations.directory) == []
    with storage.connection() as c:
        c.execute("INSERT INTO person (id, a) VALUES (1, 2)")
        names = [row["name"] for row in c.execute("SELECT * FROM schema_migrations")]
    assert names == ["001_a", "002_a", "002_b", "010"]
    assert changes(url)[-1] == [("person", "insert", None, (1, None, None, 2, "x;y"))]
    assert [event.type for event in read_log(url)] == ["SchemaChanged"] * 4 + ["RowsChanged"]
    assert_same_when_computed(url)


def test_an_applied_file_that_was_changed_is_an_error_that_names_it(
    storage: SqlStorage, migrations: Migrations
) -> None:
    storage.apply_migrations(migrations.write("1_people", PEOPLE))
    migrations.write("0_new", "CREATE TABLE x (id INTEGER PRIMARY KEY);")
    migrations.write("1_people", PEOPLE + " ")
    with pytest.raises(MigrationError, match=r"'1_people'.*changed after"):
        storage.apply_migrations(migrations.directory)
    with storage.connection() as c, pytest.raises(sqlite3.OperationalError):
        c.execute("SELECT * FROM x")


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("CREATE TABLE nokey (a, b);", "'nokey' has no primary key"),
        ("CREATE TABLE y (id INTEGER PRIMARY KEY); SELECT * FROM nowhere;", "no such table"),
        ("INSERT INTO person (id) VALUES (1), (1);", "UNIQUE"),
        ("CREATE TABLE y (id INTEGER PRIMARY KEY); CRATE TABLE z;", "syntax error in 'CRATE"),
        ("CREATE TABLE y (id INTEGER PRIMARY KEY); SELECT 'unended", "unrecognized token"),
        ("BEGIN; CREATE TABLE y (id INTEGER PRIMARY KEY);", "leave BEGIN out"),
        ("PRAGMA writable_schema = ON;", "PRAGMA writable_schema would change"),
        ("CREATE TABLE y (id INTEGER PRIMARY KEY); COMMIT;", "leave COMMIT out"),
        ("SAVEPOINT x;", "leave savepoints out"),
        ("DROP TABLE event;", "'event' is not one"),
        ("CREATE TABLE IF NOT EXISTS stream (id INTEGER PRIMARY KEY);", "'stream' is not one"),
        ("ALTER TABLE head ADD COLUMN x;", "'head' is not one"),
        ("CREATE TRIGGER t AFTER INSERT ON event BEGIN SELECT 1; END;", "'event' is not one"),
        ("INSERT INTO schema_migrations VALUES ('x', 'y', 'z');", "'schema_migrations' is not"),
        ("CREATE TABLE sql_capture_x (id INTEGER PRIMARY KEY);", "'sql_capture_x' is not one"),
        ("CREATE UNIQUE INDEX low ON person (lower(name));", "'low' .* over an expression"),
        ("CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES person);INSERT INTO c VALUES (1, 9)",
         "refer to no row of 'person'"),
        ("ATTACH ':memory:' AS other;", "another database"),
    ],
)  # fmt: skip
def test_a_migration_that_fails_names_itself_and_leaves_nothing(
    storage: SqlStorage, migrations: Migrations, url: str, sql: str, reason: str
) -> None:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    before, events = dump_file(file_of(url)), len(read_log(url))
    migrations.write("2_bad", sql)
    for _ in range(2):
        with pytest.raises(MigrationError, match=rf"'2_bad'.*{reason}"):
            storage.apply_migrations(migrations.directory)
    assert dump_file(file_of(url)) == before
    assert len(read_log(url)) == events
    with storage.connection() as c:
        c.execute("INSERT INTO person (id) VALUES (1)")
    assert len(changes(url)) == 1


@pytest.mark.promise("sql")
def test_what_a_migration_does_to_rows_is_replayed_as_it_was(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    with storage.connection() as c:
        c.execute("INSERT INTO person VALUES (1, 'ana', NULL), (2, 'ben', NULL)")
    migrations.write(
        "2",
        "UPDATE person SET note = random(); ALTER TABLE person ADD COLUMN extra;"
        "UPDATE person SET extra = random() WHERE id = 2; DELETE FROM person WHERE id = 1;",
    )
    storage.apply_migrations(migrations.directory)
    assert [len(one) for one in changes(url)] == [2, 4]
    assert_same_when_computed(url)


def test_a_table_that_is_made_anew_keeps_its_rows_and_those_that_refer_to_it(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    child = "CREATE TABLE c (id INTEGER PRIMARY KEY, p REFERENCES person (id) ON DELETE CASCADE);"
    storage.apply_migrations(migrations.write("1", PEOPLE + child))
    with storage.connection() as c:
        c.execute("INSERT INTO person VALUES (1, 'ana', '3'), (2, 'ben', '4')")
        c.execute("INSERT INTO c VALUES (1, 1), (2, 2)")
    migrations.write(
        "2",
        """CREATE TABLE new (id INTEGER PRIMARY KEY, name TEXT NOT NULL, note REAL);
        CREATE TABLE staging (name, note);
        INSERT INTO staging SELECT name, note FROM person;
        INSERT INTO new (name, note) SELECT name, note FROM staging;
        DROP TABLE staging;
        DROP TABLE person;
        ALTER TABLE new RENAME TO person;
        CREATE TRIGGER stays BEFORE DELETE ON person
            BEGIN SELECT RAISE(ABORT, 'no; never') WHERE OLD.name = 'x'; END;""",
    )
    storage.apply_migrations(migrations.directory)
    with storage.connection() as c:
        assert c.execute("SELECT count(*) FROM c").fetchone()[0] == 2
        c.execute("INSERT OR REPLACE INTO person VALUES (1, 'ann', 5)")
    assert changes(url)[-1] == [
        ("person", "delete", (1, "ana", 3.0), None),
        ("c", "delete", (1, 1), None),
        ("person", "insert", None, (1, "ann", 5.0)),
    ]
    assert_same_when_computed(url)


def test_a_full_text_index_is_left_uncaptured_and_filled_again(
    storage: SqlStorage, migrations: Migrations, url: str
) -> None:
    migrations.write(
        "1",
        PEOPLE
        + """CREATE VIRTUAL TABLE person_fts USING fts5(name, content='person', content_rowid='id');
        CREATE TRIGGER person_i AFTER INSERT ON person BEGIN
            INSERT INTO person_fts (rowid, name) VALUES (NEW.id, NEW.name); END;
        CREATE TRIGGER person_d AFTER DELETE ON person BEGIN
            INSERT INTO person_fts (person_fts, rowid, name)
                VALUES ('delete', OLD.id, OLD.name); END;""",
    )
    storage.apply_migrations(migrations.directory)
    with storage.connection() as c:
        c.execute("INSERT INTO person (name) VALUES ('ana of the hills'), ('ben'), ('ana again')")
        c.execute("DELETE FROM person WHERE id = 3")
    assert {table for one in changes(url) for table, *_ in one} == {"person"}
    storage.rebuild()
    with storage.connection() as c:
        c.execute("INSERT INTO person (name) VALUES ('ana anew')")
        found = c.execute("SELECT rowid FROM person_fts WHERE person_fts MATCH 'ana' ORDER BY 1")
        assert [row[0] for row in found] == [1, 3]
        c.execute("INSERT INTO person_fts (person_fts) VALUES ('integrity-check')")
    assert_same_when_computed(url)


def test_a_directory_that_is_not_there_is_an_error(storage: SqlStorage, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such directory"):
        storage.apply_migrations(tmp_path / "none")


def test_a_full_text_index_is_used_by_a_connection_that_knows_nothing_of_it_yet(
    storage: SqlStorage, migrations: Migrations
) -> None:
    migrations.write("1", PEOPLE + "CREATE VIRTUAL TABLE words USING fts5(word);"
                     "CREATE TRIGGER w AFTER INSERT ON person BEGIN"
                     " INSERT INTO words VALUES (NEW.name); END;")  # fmt: skip
    storage.apply_migrations(migrations.directory)
    insert = "INSERT INTO person (name) VALUES (?)"
    with storage.connection() as c, storage.connection() as other:
        # The first one learns the tables for both.
        for number, one in enumerate((c, other, c)):
            one.execute(insert, (f"ana {number}",))
            one.commit()
    with storage.connection() as c:
        found = c.execute("SELECT count(*) FROM words WHERE words MATCH 'ana'").fetchone()
        assert found[0] == 3
        with pytest.raises(SqlRefusedError):
            c.execute("CREATE TABLE x (y)")
