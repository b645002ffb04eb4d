"""Tables without a primary key that migrations declare uncaptured, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.sql_databases import computed_tables, each_kind, fresh_url, tables_of
from support.sql_tables import changes

from eventstore import EventStore
from projections import ProjectionRunner
from projections.sql import MigrationError, SqlCopy, SqlStorage
from projections.sql.check import check_events

if TYPE_CHECKING:
    from pathlib import Path

    from support.sql_tables import Migrations

kind = each_kind()

PEOPLE = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT);"
CACHE = "CREATE TABLE cache (name TEXT, n INTEGER); CREATE TABLE seen (name TEXT);"
DECLARED = f"{PEOPLE}\n-- uncaptured: cache, seen\n{CACHE}"


async def _find(url: str) -> list[int | None]:
    async with EventStore.open(url, notify="none") as store:
        return [finding.position for finding in await check_events(store)]


@pytest.mark.promise("sql")
@pytest.mark.parametrize("how", ["comment", "argument"])
def test_such_a_table_is_written_and_keeps_its_rows_unrecorded(
    storage: SqlStorage, migrations: Migrations, url: str, how: str
) -> None:
    names = ["cache", "seen"] if how == "argument" else []
    directory = migrations.write("1", PEOPLE + CACHE if names else DECLARED)
    storage.apply_migrations(directory, uncaptured=names)
    with storage.connection() as c:
        c.execute("INSERT INTO cache VALUES ('a', 1), ('a', 1)")
    with storage.connection() as c:
        c.execute("INSERT INTO cache VALUES ('b', 2)")
        c.execute("INSERT INTO person VALUES (1, 'ana')")
    assert changes(url) == [[("person", "insert", None, (1, "ana"))]]
    migrations.write("2", "ALTER TABLE cache ADD COLUMN more TEXT; DELETE FROM seen;")
    storage.apply_migrations(directory)
    before = tables_of(url, ["person", "cache"])
    assert [len(rows) for rows in before.values()] == [1, 3]
    storage.rebuild()
    storage.rebuild()
    assert tables_of(url, ["person", "cache"]) == before
    with storage.connection() as c:
        c.execute("DELETE FROM cache")
    assert len(changes(url)) == 1
    assert computed_tables(url)["person"] == before["person"]
    assert anyio.run(_find, url) == []


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        (PEOPLE + CACHE, "'cache' has no primary key.*-- uncaptured: cache"),
        ("-- uncaptured: cache\n" + CACHE, "'seen' has no primary key"),
        ("-- uncaptured: person\n" + PEOPLE, "'person' uncaptured, and its rows can be recorded"),
        ("-- uncaptured: nowhere\n" + PEOPLE, "'nowhere' uncaptured, and leaves no such table"),
    ],
)
def test_only_tables_that_need_it_are_declared(
    storage: SqlStorage, migrations: Migrations, url: str, sql: str, reason: str
) -> None:
    with pytest.raises(MigrationError, match=reason):
        storage.apply_migrations(migrations.write("1", sql))
    assert tables_of(url) == {}


@pytest.mark.anyio
async def test_a_copy_has_such_a_table_without_rows(
    storage: SqlStorage, migrations: Migrations, url: str, kind: str, tmp_path: Path
) -> None:
    storage.apply_migrations(migrations.write("1", DECLARED))
    with storage.connection() as c:
        c.execute("INSERT INTO cache VALUES ('a', 1)")
        c.execute("INSERT INTO person VALUES (1, 'ana')")
    there = fresh_url(kind, tmp_path, "copy")
    async with EventStore.open(url, notify="none") as store:
        runner = ProjectionRunner(store, SqlCopy(there))
        await runner.catch_up()
        storage.apply_migrations(migrations.write("2", "ALTER TABLE cache ADD COLUMN x TEXT;"))
        await runner.catch_up()
        await runner.rebuild()
    assert tables_of(there, ["cache", "person"]) == {
        "cache": [],
        "person": tables_of(url, ["person"])["person"],
    }
