"""No export, archive or backup takes the place of a log, or of what a log needs."""

from __future__ import annotations

import os
import sqlite3
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.audit import audit
from support.logs import some
from support.waiting import DEADLINE

from eventstore import ArchiveError, EventStore, NotEmptyError, StorageError
from eventstore.archive.log_import import open_export
from eventstore.system.safe_files import writing

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

WAYS = ["export", "backup", "trim"]


@pytest.fixture
async def store(url: str) -> AsyncIterator[EventStore]:
    """Give a log of three events that a source follows."""
    async with EventStore.open(url) as store:
        for _ in range(3):
            await store.append("a/1", some(1))
        yield store


async def write(store: EventStore, way: str, target: Path) -> None:
    """Write a file in one of three ways, over what is there where that can be said."""
    if way == "trim":
        await store.trim(2, archive=target)
    else:
        await getattr(store, way)(target, replace=True)


def make(path: Path, kind: str) -> Path:
    """Return a path that leads to the log at ``path``, or to what it needs."""
    target = path.with_name("target")
    if kind == "link":
        target.symlink_to(path)
    elif kind == "hard link":
        target.hardlink_to(path)
    elif kind == "link to the WAL":
        target.symlink_to(path.with_name(path.name + "-wal"))
    else:
        return path.with_name(path.name + kind)
    return target


KINDS = ["", "link", "hard link", "link to the WAL", "-wal", "-shm", "-gate", "-writer", "-journal"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "kind", [*KINDS, "-source-0123456789abcdef", "-projection-0123456789abcdef"]
)
async def test_the_log_and_its_companions_are_no_target(
    path: Path, store: EventStore, way: str, kind: str
) -> None:
    target = make(path, kind)
    with pytest.raises(NotEmptyError):
        await write(store, way, target)
    await store.append("a/1", some(1))
    await store.aclose()
    assert audit(path) == 4


@pytest.mark.parametrize("way", WAYS)
async def test_another_open_log_is_no_target(tmp_path: Path, store: EventStore, way: str) -> None:
    other = tmp_path / "other.db"
    async with EventStore.open(f"sqlite:///{other}") as busy:
        await busy.append("b/1", some(2))
        for target in (other, other.with_name("other.db-wal"), other.with_name("other.db-gate")):
            with pytest.raises(NotEmptyError):
                await write(store, way, target)
        await busy.append("b/1", some(1))
    assert audit(other) == 3


async def test_an_export_replaces_no_database_and_a_backup_an_older_backup(
    tmp_path: Path, store: EventStore
) -> None:
    backup, database = tmp_path / "backup.db", tmp_path / "stranger.db"
    await store.backup(backup)
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE x (y)")
    connection.close()
    for target in (backup, database):
        with pytest.raises(NotEmptyError, match="is a database"):
            await store.export(target, replace=True)
    await store.append("a/1", some(1))
    assert await store.backup(backup, replace=True) == 4
    with pytest.raises(NotEmptyError, match="projected directory"):
        await store.export(tmp_path / ".eventstore.json", replace=True)


async def test_a_backup_leaves_a_file_that_appears_while_it_copies(
    tmp_path: Path, store: EventStore
) -> None:
    target = tmp_path / "backup.db"

    def appear(_done: int, _all: int) -> None:
        target.write_bytes(b"another's")

    with pytest.raises(NotEmptyError, match="appeared meanwhile"):
        await store.backup(target, progress=appear)
    assert target.read_bytes() == b"another's"
    assert not list(tmp_path.glob(".*.part"))
    await store.backup(target, replace=True, progress=appear)
    assert audit(target) == 3


@pytest.mark.parametrize("target", ["pipe", "directory", "device"])
async def test_what_is_no_file_is_no_target_and_no_export(
    tmp_path: Path, store: EventStore, target: str
) -> None:
    place = tmp_path / "place"
    makers: dict[str, Any] = {
        "pipe": lambda: os.mkfifo(place),
        "directory": place.mkdir,
        "device": lambda: place.symlink_to("/dev/zero"),
    }
    makers[target]()
    with anyio.fail_after(DEADLINE):
        with pytest.raises(NotEmptyError):
            await store.export(place, replace=True)
        with pytest.raises((StorageError, ArchiveError)):
            await anyio.to_thread.run_sync(open_export, place)
        with pytest.raises(StorageError):
            await EventStore.restore(place, f"sqlite:///{tmp_path}/new.db")


async def test_of_two_exports_to_one_new_name_the_second_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "export"

    def second() -> None:
        with writing(target, replace=False) as file:
            file.write(b"second")
            with writing(target, replace=False) as first:
                first.write(b"first")

    with pytest.raises(StorageError, match="exists"):
        second()
    assert target.read_bytes() == b"first"
    assert [one.name for one in tmp_path.iterdir()] == ["export"]


async def test_a_log_is_not_restored_from_itself_nor_from_what_is_none(
    tmp_path: Path, path: Path, store: EventStore, url: str
) -> None:
    await store.aclose()
    link = tmp_path / "link.db"
    link.symlink_to(path)
    fake, newer = tmp_path / "fake.db", tmp_path / "newer.db"
    with sqlite3.connect(fake) as connection:
        connection.execute("CREATE TABLE head (position)")
        connection.execute("INSERT INTO head VALUES (7)")
    connection.close()
    newer.write_bytes(path.read_bytes())
    with sqlite3.connect(newer) as connection:
        connection.execute("UPDATE head SET schema_version = 99")
    connection.close()
    short, view = tmp_path / "short.db", tmp_path / "view.db"
    short.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with sqlite3.connect(view) as connection:
        connection.execute("CREATE VIEW head AS SELECT 7 AS position, 1 AS schema_version")
    connection.close()
    for copy in (path, link, fake, newer, short, view):
        with pytest.raises(StorageError, match=copy.name):
            await EventStore.restore(copy, url, replace=True)
    assert audit(path) == 3
