"""A snapshot shows one moment, and is imported completely or not at all."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from support.sql_databases import computed_tables, each_kind, fresh_url, tables_of
from support.sql_tables import read_log

from eventstore.errors import ArchiveError, NotEmptyError, StorageError
from projections.sql import SqlStorage

if TYPE_CHECKING:
    from pathlib import Path

    from support.sql_tables import Migrations

TABLES = """CREATE TABLE a (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
CREATE TABLE b (id INTEGER PRIMARY KEY, n INTEGER NOT NULL);
INSERT INTO a VALUES (1, 0); INSERT INTO b VALUES (1, 0);"""


kind = each_kind()


@pytest.fixture
def tables(storage: SqlStorage, migrations: Migrations) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", TABLES))
    return storage


def count(storage: SqlStorage) -> None:
    with storage.connection() as c:
        c.execute("UPDATE a SET n = n + 1")
        c.execute("UPDATE b SET n = n + 1")


@pytest.mark.promise("sql")
def test_a_snapshot_taken_while_others_write_is_of_one_moment(
    tables: SqlStorage, kind: str, tmp_path: Path
) -> None:
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            count(tables)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        positions = [tables.export_snapshot(tmp_path / f"snapshot-{n}") for n in range(5)]
    finally:
        stop.set()
        writer.join()
    for number, position in enumerate(positions[-2:], 3):
        (tmp_path / str(number)).mkdir()
        other = fresh_url(kind, tmp_path / str(number), "fresh")
        with SqlStorage(other) as copy:
            assert copy.import_snapshot(tmp_path / f"snapshot-{number}") == position
            with copy.connection() as c:
                row = c.execute("SELECT a.n, b.n FROM a CROSS JOIN b").fetchone()
                assert row[0] == row[1]
            count(copy)
            assert len(read_log(other)) == position + 1
            assert computed_tables(other) == tables_of(other)
            before = tables_of(other)
            copy.rebuild()
            assert tables_of(other) == before


@pytest.mark.promise("sql")
@pytest.mark.parametrize("damage", ["flip", "cut", "header", "empty", "gone"])
def test_what_was_tampered_with_is_refused_and_changes_nothing(
    tables: SqlStorage, kind: str, tmp_path: Path, damage: str
) -> None:
    snapshot = tmp_path / "snapshot"
    tables.export_snapshot(snapshot)
    raw = bytearray(snapshot.read_bytes())
    if damage == "flip":
        raw[len(raw) // 2] ^= 1
    if damage == "header":
        raw[5] ^= 1
    raw = {"cut": raw[:-7], "empty": bytearray()}.get(damage, raw)
    snapshot.write_bytes(raw)
    if damage == "gone":
        snapshot.unlink()
    with SqlStorage(fresh_url(kind, tmp_path, "fresh")) as copy:
        with pytest.raises((ArchiveError, StorageError)):
            copy.import_snapshot(snapshot)
        assert read_log(copy.url if kind == "sqlite" else fresh_url(kind, tmp_path, "fresh")) == []
        assert list(tmp_path.glob(".snapshot*")) == []


def test_on_sqlite_a_snapshot_takes_the_place_of_what_is_there(
    storage: SqlStorage, migrations: Migrations, kind: str, url: str, tmp_path: Path
) -> None:
    storage.apply_migrations(migrations.write("1", TABLES))
    count(storage)
    before = tables_of(url)
    storage.export_snapshot(tmp_path / "snapshot")
    migrations.write("2", "ALTER TABLE a ADD COLUMN x INTEGER; UPDATE a SET x = 1;")
    storage.apply_migrations(migrations.directory)
    count(storage)
    if kind == "postgres":
        with pytest.raises(NotEmptyError):
            storage.import_snapshot(tmp_path / "snapshot")
        return
    with storage.connection() as open_meanwhile:
        storage.import_snapshot(tmp_path / "snapshot")
        assert open_meanwhile.execute("SELECT n FROM a").fetchone()["n"] == 1
    assert tables_of(url) == before
    assert storage.apply_migrations(migrations.directory) == ["2"]
    count(storage)
    assert computed_tables(url) == tables_of(url)
