"""Opening a log that is to be there already: reading creates nothing."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

import pytest
from support.logs import positions, some
from support.postgres import shared_server
from support.waiting import collect

from eventstore import EventStore, EventStoreError, NoLogError
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio


def left_behind(url: str, directory: Path) -> list[str]:
    """Return the names of the files, or of the tables, that are where the log was looked for."""
    if not url.startswith("postgresql"):
        return sorted(path.name for path in directory.rglob("*"))
    schema = url.rpartition("%3D")[2]
    rows = shared_server().execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", schema
    )
    assert schema in url
    return [name for (name,) in rows]


@pytest.mark.promise("creates-nothing")
async def test_a_log_that_is_not_there_is_an_error_and_stays_absent(
    url: str, tmp_path: Path
) -> None:
    store = EventStore.open(url, create=False)
    with pytest.raises(NoLogError, match=r"^no log at ") as caught:
        await store.__aenter__()
    assert isinstance(caught.value, EventStoreError)
    assert caught.value.where == str(SecretUrl.of(url)).removeprefix("sqlite:///")
    assert "tester" not in str(caught.value)
    assert left_behind(url, tmp_path) == []


async def test_a_log_that_is_there_is_read_followed_and_appended_to(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(2))
    async with EventStore.open(lasting_url, create=False) as store:
        assert positions(await collect(store.read())) == [1, 2]
        assert (await store.append("a/1", some(1))).position == 3
        following = store.subscribe_changes(after=1, consumer="w", follow=False)
        assert positions(await collect(following)) == [2, 3]


async def test_an_empty_log_is_a_log(lasting_url: str) -> None:
    async with EventStore.open(lasting_url):
        pass
    async with EventStore.open(lasting_url, create=False) as store:
        assert (await store.head()).position == 0


async def test_a_log_may_be_looked_for_again(lasting_url: str, clock: FakeClock) -> None:
    with pytest.raises(NoLogError):
        async with EventStore.open(lasting_url, create=False):
            pass
    async with EventStore.open(lasting_url, clock=clock) as store:
        await store.append("a/1", some(1))
    async with EventStore.open(lasting_url, create=False) as store:
        assert (await store.head()).position == 1


def make_empty(path: Path) -> None:
    path.touch()


def make_directory(path: Path) -> None:
    path.mkdir()


def make_foreign(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE invoice (number INTEGER PRIMARY KEY)")


def make_dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere.db"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (make_empty, "the file is empty"),
        (make_directory, "it is a directory"),
        (make_foreign, "the file is a database of something else"),
        (make_dangling, "no log at "),
    ],
)
async def test_what_is_no_log_is_left_as_it_is(
    tmp_path: Path, make: Callable[[Path], None], said: str
) -> None:
    path = tmp_path / "events.db"
    make(path)
    before = [(one.name, one.lstat().st_mtime_ns, one.lstat().st_size) for one in [path]]
    with pytest.raises(NoLogError, match=said):
        await EventStore.open(f"sqlite:///{path}", create=False).__aenter__()
    assert [one.name for one in tmp_path.iterdir()] == ["events.db"]
    assert [(one.name, one.lstat().st_mtime_ns, one.lstat().st_size) for one in [path]] == before


async def test_reading_a_copy_leaves_its_bytes_as_they_are(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    copy = tmp_path / "copy.db"
    async with EventStore.open(url) as store:
        await store.append("a/1", some(3))
        await store.backup(copy)
    content = copy.read_bytes()
    async with EventStore.open(f"sqlite:///{copy}", create=False, notify="none") as store:
        assert positions(await collect(store.read())) == [1, 2, 3]
    assert copy.read_bytes() == content
    assert [path.name for path in tmp_path.glob("copy.db*")] == ["copy.db"]
