"""A whole schema, run at each start: what changes nothing passes, anything else is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.sql_databases import each_kind, tables_of
from support.sql_tables import read_log

from projections.sql import SqlRefusedError, SqlStorage

if TYPE_CHECKING:
    from support.sql_tables import Migrations

kind = each_kind()

TABLES = """
CREATE TABLE IF NOT EXISTS person (id INTEGER PRIMARY KEY, name TEXT);
CREATE INDEX IF NOT EXISTS person_name ON person (name);
CREATE UNIQUE INDEX IF NOT EXISTS person_both ON person (name, id);
"""
MORE = {
    "sqlite": """
        CREATE VIEW IF NOT EXISTS named AS SELECT id FROM person WHERE name IS NOT NULL;
        CREATE TRIGGER IF NOT EXISTS loud AFTER INSERT ON person
            BEGIN UPDATE person SET name = upper(name) WHERE id = NEW.id; END;
        CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5(word);""",
    "postgres": """
        CREATE SEQUENCE IF NOT EXISTS numbers;
        CREATE MATERIALIZED VIEW IF NOT EXISTS named AS SELECT id FROM person;""",
}
MISSING = {
    "sqlite": [
        "CREATE VIEW IF NOT EXISTS x AS SELECT 1",
        "CREATE TRIGGER IF NOT EXISTS x AFTER INSERT ON person BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE IF NOT EXISTS x USING fts5(y)",
    ],
    "postgres": [
        "CREATE SEQUENCE IF NOT EXISTS x",
        "CREATE TABLE IF NOT EXISTS x AS SELECT 1",
        "CREATE TABLE IF NOT EXISTS pg_catalog.person (id INTEGER)",
        "CREATE SCHEMA IF NOT EXISTS x",
    ],
}


@pytest.mark.parametrize("begins", ["read", "write"])
def test_a_schema_that_is_there_is_run_again(
    storage: SqlStorage, migrations: Migrations, url: str, kind: str, begins: str
) -> None:
    storage.apply_migrations(migrations.write("1", TABLES + MORE[kind]))
    before = len(read_log(url))
    with storage.connection() as c:
        if begins == "write":
            c.execute("INSERT INTO person VALUES (1, 'ana')")
        c.executescript(TABLES + MORE[kind])
        once = c.execute("CREATE TABLE IF NOT EXISTS person (other INTEGER)")
        assert (once.fetchall(), once.rowcount) == ([], -1)
        assert c.in_transaction == (begins == "write")
        c.execute("INSERT INTO person VALUES (2, 'ben')")
    assert len(read_log(url)) == before + 1


def test_what_is_not_there_is_refused_in_either_state(
    storage: SqlStorage, migrations: Migrations, url: str, kind: str
) -> None:
    storage.apply_migrations(migrations.write("1", TABLES))
    missing = [
        "CREATE TABLE IF NOT EXISTS x (id INTEGER PRIMARY KEY)",
        "CREATE INDEX IF NOT EXISTS x ON person (name)",
        "CREATE TABLE person (id INTEGER PRIMARY KEY)",
        *MISSING[kind],
    ]
    with storage.connection() as c:
        for writes in (False, True):
            if writes:
                c.execute("INSERT INTO person (id) VALUES (1)")
            for statement in missing:
                with pytest.raises(SqlRefusedError, match="migrations"):
                    c.execute(statement)
            assert c.in_transaction == writes
    assert set(tables_of(url)) & {"person", "x"} == {"person"}
