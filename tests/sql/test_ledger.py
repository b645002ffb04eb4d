"""The ledger of migrations, and programs that have a table of its name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.sql_databases import computed_tables, each_kind, fresh_url, tables_of

from eventstore import EventStore
from projections import ProjectionRunner
from projections.sql import MigrationError, SqlCopy, SqlRefusedError, SqlStorage
from projections.sql.check import check_events

if TYPE_CHECKING:
    from pathlib import Path

    from support.sql_tables import Migrations

kind = each_kind()

THEIRS = """
CREATE TABLE IF NOT EXISTS schema_migrations (version INTEGER PRIMARY KEY, note TEXT);
INSERT INTO schema_migrations (version) VALUES (1);
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT);
"""
OURS = """
CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY, applied_at TEXT);
CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT);
"""
FIRST = "CREATE TABLE early (id INTEGER PRIMARY KEY);"


async def _find(url: str) -> list[int | None]:
    async with EventStore.open(url, notify="none") as store:
        return [finding.position for finding in await check_events(store)]


@pytest.mark.promise("sql")
@pytest.mark.parametrize("before", [[], ["0"]], ids=["first", "later"])
def test_a_program_has_a_table_that_is_called_as_the_ledger(
    storage: SqlStorage, migrations: Migrations, url: str, before: list[str]
) -> None:
    with SqlStorage(url, notify="none") as other, other.connection() as c:
        c.execute("SELECT 1")
        for name in before:
            storage.apply_migrations(migrations.write(name, FIRST))
        assert storage.apply_migrations(migrations.write("1", THEIRS)) == ["1"]
        migrations.write("2", "ALTER TABLE schema_migrations ADD COLUMN more TEXT;" + THEIRS[:86])
        assert storage.apply_migrations(migrations.directory) == ["2"]
        assert storage.apply_migrations(migrations.directory) == []
        # Another process, which was there before, too.
        c.execute("INSERT INTO schema_migrations VALUES (2, 'two', NULL)")
    names = sorted({"person", "schema_migrations", *({"early"} if before else ())})
    rows = tables_of(url, names)
    assert len(rows["schema_migrations"]) == 2
    assert {name: computed_tables(url)[name] for name in names} == rows
    storage.rebuild()
    assert tables_of(url, names) == rows
    assert storage.apply_migrations(migrations.directory) == []
    assert anyio.run(_find, url) == []
    migrations.write("1", THEIRS + " ")
    with pytest.raises(MigrationError, match="changed after"):
        storage.apply_migrations(migrations.directory)


@pytest.mark.parametrize("before", [[], ["0"]], ids=["first", "later"])
def test_a_ledger_of_the_same_columns_is_this_one(
    storage: SqlStorage, migrations: Migrations, before: list[str]
) -> None:
    for name in before:
        storage.apply_migrations(migrations.write(name, FIRST))
    storage.apply_migrations(migrations.write("1", OURS))
    migrations.write("2", THEIRS.partition("INSERT")[0] + "CREATE TABLE no_key (a INTEGER);")
    with pytest.raises(MigrationError, match="no_key"):
        storage.apply_migrations(migrations.directory)
    for _ in range(2):
        with storage.connection() as c:
            found = c.execute("SELECT name, checksum FROM schema_migrations ORDER BY name")
            assert [(row["name"], len(row["checksum"])) for row in found] == [
                (name, 64) for name in [*before, "1"]
            ]
            c.execute("CREATE TABLE IF NOT EXISTS schema_migrations (name TEXT PRIMARY KEY)")
            with pytest.raises(SqlRefusedError):
                c.execute("DELETE FROM schema_migrations")
        storage.rebuild()


@pytest.mark.anyio
async def test_a_copy_has_the_programs_table_too(
    storage: SqlStorage, migrations: Migrations, url: str, kind: str, tmp_path: Path
) -> None:
    storage.apply_migrations(migrations.write("0", FIRST))
    storage.apply_migrations(migrations.write("1", THEIRS))
    there = fresh_url(kind, tmp_path, "copy")
    async with EventStore.open(url, notify="none") as store:
        runner = ProjectionRunner(store, SqlCopy(there))
        await runner.catch_up()
        await runner.rebuild()
    assert tables_of(there, ["schema_migrations"]) == tables_of(url, ["schema_migrations"])
