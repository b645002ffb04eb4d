"""Copies of a log's file: whole while writers go on, and put back without a stale WAL."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.audit import audit
from support.logs import positions, some
from support.waiting import collect, take

from eventstore import Cursor, EventStore
from eventstore.errors import ConfigError, HistoryDivergedError, NotEmptyError, StorageError
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import RuleTables

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projections import Projection

pytestmark = pytest.mark.anyio


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return tmp_path / "log.copy"


def make_views(folder: Path) -> list[Projection]:
    return [DirectoryProjection(folder / "live"), RuleTables().at(f"sqlite:///{folder}/v.db")]


async def at(url: str, count: int, copy: Path) -> Cursor:
    """Make a log of so many events and a copy of it; return its cursor."""
    async with EventStore.open(url) as store:
        await store.append("a/1", some(count))
        assert await store.backup(copy) == count
        return (await store.head()).cursor


async def test_a_backup_is_a_log_in_a_single_file(path: Path, url: str, copy: Path) -> None:
    cursor = await at(url, 80, copy)
    assert audit(copy) == 80
    assert sorted(p.name for p in copy.parent.iterdir() if "copy" in p.name) == [copy.name]
    async with EventStore.open(f"sqlite:///{copy}") as store:
        assert (await store.head()).cursor == cursor


async def test_a_backup_beside_writers_is_as_of_one_moment(
    path: Path, url: str, copy: Path
) -> None:
    from anyio import from_thread

    async with EventStore.open(url) as store:
        for _ in range(6):
            await store.append("a/1", some(2000))
        told = []

        def write(done: int, total: int) -> None:
            told.append(done)
            from_thread.run(store.append, "a/1", some(5))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("eventstore.storage.sqlite._file_copy.PAGES", 50)
            assert await store.backup(copy, progress=write) == 12000
        assert len(told) > 5
        assert (await store.head()).position == 12000 + 5 * len(told)
    assert audit(copy) == 12000


async def test_a_backup_takes_no_name_that_is_taken(url: str, copy: Path) -> None:
    await at(url, 3, copy)
    async with EventStore.open(url) as store:
        with pytest.raises(NotEmptyError):
            await store.backup(copy)
        await store.backup(copy, replace=True)

        def fail(done: int, total: int) -> None:
            raise KeyError

        with pytest.raises(KeyError):
            await store.backup(copy.with_suffix(".2"), progress=fail)
    assert [p.name for p in copy.parent.iterdir() if ".2" in p.name or "part" in p.name] == []
    assert audit(copy) == 3


async def test_a_log_that_is_there_is_overwritten_only_when_asked(
    path: Path, url: str, copy: Path
) -> None:
    await at(url, 80, copy)
    async with EventStore.open(url) as store:
        await store.append("a/1", some(15))
    with pytest.raises(NotEmptyError):
        await EventStore.restore(copy, url)
    assert audit(path) == 95
    assert await EventStore.restore(copy, url, replace=True) == 80
    assert audit(path) == 80


@pytest.mark.promise("moving")
async def test_followers_of_a_log_that_was_restored_are_told(
    tmp_path: Path, path: Path, url: str, copy: Path
) -> None:
    await at(url, 80, copy)
    views = make_views(tmp_path)
    async with EventStore.open(url) as store, EventStore.open(url, poll=0.05) as open_all_the_time:
        await store.append("a/1", some(15))
        plain = open_all_the_time.subscribe_changes()
        named = open_all_the_time.subscribe_changes(consumer="worker")
        for follower in (plain, named):
            assert positions(await take(follower, 95))[-1] == 95
        for view in views:
            await ProjectionRunner(store, view).catch_up()
        await EventStore.restore(copy, url, replace=True)
        # The log at 80 already is another history than the one that they have seen.
        with pytest.raises(HistoryDivergedError):
            await ProjectionRunner(store, views[0]).catch_up()
        async with EventStore.open(url) as opened_since:
            assert (await opened_since.append("b/1", some(25))).position == 105
        for follower in (plain, named):
            with pytest.raises(HistoryDivergedError):
                await take(follower, 1)
        for view in views:
            with pytest.raises(HistoryDivergedError):
                await ProjectionRunner(store, view).catch_up()
    assert audit(path) == 105


async def test_the_same_across_export_and_import(tmp_path: Path, url: str) -> None:
    views = make_views(tmp_path)
    async with EventStore.open(url) as store:
        await store.append("a/1", some(80))
        await store.export(tmp_path / "log.export")
        await store.append("a/1", some(15))
        for view in views:
            await ProjectionRunner(store, view).catch_up()
        async with store.subscribe_changes(consumer="worker", follow=False) as changes:
            await collect(changes)
            cursor = changes.cursor
    async with EventStore.open(f"sqlite:///{tmp_path}/new.db") as new:
        await new.import_from(tmp_path / "log.export")
        await new.append("b/1", some(25))
        assert cursor is not None
        for consumer in (None, "worker"):
            with pytest.raises(HistoryDivergedError):
                await take(new.subscribe_changes(after=cursor, consumer=consumer), 1)
        for view in views:
            with pytest.raises(HistoryDivergedError):
                await ProjectionRunner(new, view).catch_up()


def _missing(path: Path) -> None:
    path.unlink()


def _stale_wal(path: Path) -> None:
    path.unlink()
    with closing(sqlite3.connect(path.with_name("other.db"), isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("CREATE TABLE head(position)")
        for suffix in ("-wal", "-shm"):
            stale = path.with_name("other.db" + suffix).read_bytes()
            path.with_name(path.name + suffix).write_bytes(stale)


def _garbage(path: Path) -> None:
    path.write_bytes(b"garbage" * 3000)


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _damaged_pages(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for page in range(1, len(content) // 4096):
        content[page * 4096 : page * 4096 + 64] = b"\xff" * 64
    path.write_bytes(content)


@pytest.mark.promise("moving")
@pytest.mark.parametrize("harm", [_missing, _stale_wal, _garbage, _emptied, _damaged_pages])
async def test_whatever_is_in_the_place_the_copy_comes_back_whole(
    path: Path, url: str, copy: Path, harm: Callable[[Path], None]
) -> None:
    await at(url, 80, copy)
    harm(path)
    assert await EventStore.restore(copy, url, replace=True) == 80
    assert audit(path) == 80
    async with EventStore.open(url) as store:
        assert (await store.append("a/1", some(1))).position == 81


@pytest.mark.parametrize("content", [b"", b"no database" * 1000, None])
async def test_what_is_no_backup_leaves_the_log_as_it_is(
    path: Path, url: str, tmp_path: Path, content: bytes | None
) -> None:
    await at(url, 5, tmp_path / "unused")
    bad = tmp_path / "bad"
    if content is not None:
        bad.write_bytes(content)
    with pytest.raises(StorageError, match="bad"):
        await EventStore.restore(bad, url, replace=True)
    assert audit(path) == 5


async def test_a_damaged_backup_leaves_the_log_as_it_is(path: Path, url: str, copy: Path) -> None:
    await at(url, 3000, copy)
    _damaged_pages(copy)
    with pytest.raises(StorageError, match=r"log\.copy"):
        await EventStore.restore(copy, url, replace=True)
    assert audit(path) == 3000


async def test_another_program_s_database_is_never_overwritten(
    path: Path, url: str, copy: Path
) -> None:
    await at(url, 5, copy)
    other = path.with_name("other.db")
    with closing(sqlite3.connect(other)) as connection, connection:
        connection.execute("CREATE TABLE mine (x)")
    with pytest.raises(StorageError, match="something else"):
        await EventStore.restore(copy, f"sqlite:///{other}", replace=True)


async def test_where_a_log_is_no_file_the_tool_to_use_is_named(copy: Path) -> None:
    async with EventStore.open("memory://") as store:
        with pytest.raises(ConfigError, match="eventstore export"):
            await store.backup(copy)
    with pytest.raises(ConfigError, match="pg_dump"):
        await EventStore.restore(copy, "postgresql://localhost/log")
