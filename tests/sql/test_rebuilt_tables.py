"""Tables that migrations make anew, as programs write it, and one transaction around a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.sql_databases import computed_tables, each_kind, tables_of
from support.sql_tables import definitions_of

from eventstore import EventStore
from projections.sql import MigrationError, SqlStorage
from projections.sql.check import check_events

if TYPE_CHECKING:
    from support.sql_tables import Migrations

kind = each_kind()

BASE = """
CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE a (id INTEGER PRIMARY KEY, name TEXT UNIQUE,
    parent INTEGER REFERENCES parent (id) ON DELETE CASCADE);
CREATE TABLE child (id INTEGER PRIMARY KEY, a INTEGER REFERENCES a (id) ON DELETE CASCADE);
CREATE INDEX a_parent ON a (parent);
CREATE VIEW named AS SELECT id, name FROM a;
"""
ROWS = [
    "INSERT INTO parent VALUES (1, 'x'), (2, 'y')",
    "INSERT INTO a VALUES (1, 'ana', 1), (2, 'ben', 2)",
    "INSERT INTO child VALUES (1, 1), (2, 2)",
]
ANEW = """
CREATE TABLE n (id INTEGER PRIMARY KEY, name TEXT UNIQUE,
    parent INTEGER REFERENCES parent (id) ON DELETE CASCADE, extra TEXT DEFAULT 'e');
INSERT INTO n (id, name, parent) SELECT id, name, parent FROM a;
DROP TABLE a {cascade};
ALTER TABLE n RENAME TO a;
CREATE INDEX a_parent ON a (parent);
{after}
"""
AGAIN = """ALTER TABLE child ADD FOREIGN KEY (a) REFERENCES a (id) ON DELETE CASCADE;
CREATE VIEW named AS SELECT id, name FROM a;"""
LEGACY = "PRAGMA foreign_keys=OFF; PRAGMA legacy_alter_table=ON;"
END_LEGACY = "PRAGMA legacy_alter_table=OFF; PRAGMA foreign_keys=ON;"


def anew(kind: str, begin: str = "", end: str = "") -> str:
    """Return the migration; SQLite finds the view again by the table's name."""
    if kind == "postgres":
        return begin + ANEW.format(cascade="CASCADE", after=AGAIN) + end
    return LEGACY + begin + ANEW.format(cascade="", after="") + end + END_LEGACY


@pytest.mark.promise("sql")
@pytest.mark.parametrize("around", [("", ""), ("-- as one\nBEGIN;", "COMMIT;")])
def test_a_table_is_made_anew_within_a_migration_and_computed_again(
    storage: SqlStorage, migrations: Migrations, url: str, kind: str, around: tuple[str, str]
) -> None:
    storage.apply_migrations(migrations.write("1", BASE))
    with storage.connection() as c:
        for statement in ROWS:
            c.execute(statement)
    storage.apply_migrations(migrations.write("2", anew(kind, *around)))
    with storage.connection() as c:
        c.execute("INSERT INTO a (id, name, parent) VALUES (3, 'cai', 1)")
        c.execute("DELETE FROM a WHERE id = 1")
        assert c.execute("SELECT count(*) FROM child").fetchone()[0] == 1
        assert c.execute("SELECT count(*) FROM named").fetchone()[0] == 2
    before = tables_of(url)
    assert computed_tables(url) == before
    storage.rebuild()
    assert tables_of(url) == before
    assert found(url) == []
    with storage.connection() as c:
        c.execute("DELETE FROM parent")
        assert c.execute("SELECT count(*) FROM child").fetchone()[0] == 0


def found(url: str) -> list[int | None]:
    """Return the positions that ``verify`` has findings of."""

    async def find() -> list[int | None]:
        async with EventStore.open(url, notify="none") as store:
            return [one.position for one in await check_events(store)]

    return anyio.run(find)


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN; CREATE TABLE y (id INTEGER PRIMARY KEY); COMMIT; CREATE TABLE z (a INTEGER);",
        "CREATE TABLE y (id INTEGER PRIMARY KEY); BEGIN; DROP TABLE y; COMMIT;",
        "BEGIN; BEGIN; CREATE TABLE y (id INTEGER PRIMARY KEY); COMMIT;",
        "BEGIN; CREATE TABLE y (id INTEGER PRIMARY KEY); ROLLBACK;",
    ],
)
def test_a_file_has_no_other_transaction(
    storage: SqlStorage, migrations: Migrations, url: str, sql: str
) -> None:
    with pytest.raises(MigrationError, match=r"leave \w+ out"):
        storage.apply_migrations(migrations.write("1", sql))
    assert tables_of(url) == {}


def test_how_tables_are_renamed_is_one_migrations_own(migrations: Migrations) -> None:
    directory = migrations.directory
    url = f"sqlite:///{directory.parent / 'log.db'}"
    tables = "CREATE TABLE a (id INTEGER PRIMARY KEY); CREATE VIEW v AS SELECT id FROM a;"
    migrations.write("1", tables + "PRAGMA legacy_alter_table = ON; PRAGMA user_version = 7;")
    migrations.write("2", "ALTER TABLE a RENAME TO b;")
    with SqlStorage(url, notify="none") as storage:
        storage.apply_migrations(directory)
        assert any(row[1] == "v" and '"b"' in row[3] for row in definitions_of(url))
        storage.rebuild()
        with storage.connection() as c:
            assert c.execute("SELECT count(*) FROM v").fetchone()[0] == 0
            assert c.execute("PRAGMA user_version").fetchone()[0] == 7
