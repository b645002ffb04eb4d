"""An opening that fails leaves no descriptor, thread or file: of a log and what is beside it."""

from __future__ import annotations

import asyncio
import os
import threading
from contextlib import closing, suppress
from pathlib import Path
from sqlite3 import connect
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import some
from support.open_files import open_files
from support.plain import plain
from support.waiting import DEADLINE, eventually, until

from eventstore import EventStore, EventStoreError
from eventstore.errors import ConfigError, StorageError
from projections import ProjectionRunner
from projections.journal import Journal
from projections.memories import MemoryStore
from projections.registry import Registry
from projections.rules.replica import RuleReplica
from projections.sql import SqlCopy, SqlStorage

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

pytestmark = pytest.mark.promise("owners")

NOWHERE = "redis://127.0.0.1:1/0"
"""A server that is down: no program listens at port 1."""

STEPS = 12
"""More turns of the event loop than an opening takes, threads aside."""

SESSIONS = """SELECT count(*) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()"""
"""Of a server that this process alone uses."""


def _memories(url: str, **options: Any) -> Any:
    return MemoryStore(url, **options)


LOGS = [EventStore.open, Registry, Journal]
BLOCKING = [_memories, SqlStorage]


class Left:
    """What was open before, to find what is left behind."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._before = self._all()
        self._files = self.files()

    def files(self) -> set[str]:
        """Return the names of the files that are there."""
        return {one.name for one in self._directory.iterdir()}

    def _all(self) -> set[str]:
        found = {f"thread {one.name}" for one in threading.enumerate() if "eventstore" in one.name}
        return found | set(open_files().values())

    async def nothing(self, *, but: Collection[str] = ()) -> None:
        """Return once no thread and no descriptor is left; there must be no further file."""

        async def ended() -> bool:
            self._new = {one for one in self._all() - self._before if one[:6] != "/proc/"}
            return not self._new

        with suppress(TimeoutError):
            await eventually(ended)
        assert not self._new
        assert self.files() <= self._files.union(but)


@pytest.fixture
def log(tmp_path: Path) -> str:
    """Name a SQLite log in a directory of its own."""
    (tmp_path / "log").mkdir()
    return f"sqlite:///{tmp_path}/log/log.db"


def _set_schema(path: Path, version: int) -> int:
    with closing(connect(path)) as connection, connection:
        (before,) = connection.execute("SELECT schema_version FROM head").fetchone()
        connection.execute("UPDATE head SET schema_version = ?", (version,))
    return int(before)


async def _open_and_close(thing: Any) -> None:
    if hasattr(thing, "__aenter__"):
        async with thing:
            pass
        return
    await anyio.to_thread.run_sync(_use, thing)


def _use(thing: Any) -> None:
    with thing:
        if isinstance(thing, MemoryStore):
            thing.get("m")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("make", [*LOGS, *BLOCKING])
async def test_a_newer_schema_is_refused_and_nothing_is_left(
    log: str, make: Callable[[str], Any]
) -> None:
    path = Path(log.removeprefix("sqlite:///"))
    await _open_and_close(make(log))
    before = _set_schema(path, 9999)
    left = Left(path.parent)
    for _ in range(2):
        with pytest.raises(EventStoreError, match="9999"):
            await _open_and_close(make(log))
    await left.nothing()
    _set_schema(path, before)
    async with EventStore.open(log) as store:
        await store.append("a/1", some(1))


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("make", [*LOGS, *BLOCKING])
@pytest.mark.parametrize("notify", ["rediss//typo", "http://127.0.0.1", "postgres"])
async def test_a_wrong_notifier_makes_no_file(log: str, make: Any, notify: str) -> None:
    path = Path(log.removeprefix("sqlite:///"))
    left = Left(path.parent)
    with pytest.raises(ConfigError):
        await _open_and_close(make(log, notify=notify))
    await left.nothing()
    assert not left.files()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("make", [*LOGS, *BLOCKING])
async def test_without_the_redis_server_nothing_is_left(log: str, make: Any) -> None:
    path = Path(log.removeprefix("sqlite:///"))
    await _open_and_close(make(log))
    left = Left(path.parent)
    await _open_and_close(make(log, notify=NOWHERE))
    for step in range(STEPS if make in LOGS else 0):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_open_and_close, make(log, notify=NOWHERE))
            for _ in range(step):
                await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
    await left.nothing()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(("suffix", "plant"), [("-journal", os.mkfifo), ("-shm", os.mkdir)])
async def test_what_is_planted_as_a_file_of_a_log_is_refused_at_once(
    log: str, tmp_path: Path, suffix: str, plant: Callable[[str], None]
) -> None:
    async with EventStore.open(log) as store:
        await store.append("a/1", some(1))
    plant(f"{log.removeprefix('sqlite:///')}{suffix}")
    left = Left(tmp_path / "log")
    with pytest.raises(StorageError, match=f"{suffix} is no regular file"):
        async with EventStore.open(log):
            pass
    await left.nothing()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_what_stands_beside_a_log_leaves_nothing(log: str, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    with closing(connect(other / "copy.db")) as connection:
        connection.execute("CREATE TABLE mine (x)")
    (other / "copy.db-copy").touch()  # The file of a lock stays; each runner must get the lock.
    async with EventStore.open(log) as store:
        await store.append("a/1", some(1))
        await _touched(tmp_path)
        left = Left(other)
        for _ in range(2):
            with pytest.raises(ConfigError, match="mine"):
                await ProjectionRunner(store, SqlCopy(f"sqlite:///{other}/copy.db")).catch_up()
            replica = RuleReplica(other)
            with pytest.raises(EventStoreError):
                await replica.load_compiled()
            with pytest.raises(EventStoreError):
                await anext(aiter(replica.subscribe_changes()))
            del replica
        await left.nothing()


@pytest.mark.slow
@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("make", [*LOGS, *BLOCKING])
async def test_on_postgresql_an_opening_that_fails_leaves_no_session(
    postgres: Any, tmp_path: Path, make: Any
) -> None:
    url = postgres.fresh_schema()
    await _open_and_close(make(url))
    with plain(url) as connection:
        connection.execute("UPDATE head SET schema_version = 9999")
        sessions = connection.execute(SESSIONS).fetchone()
        left = Left(tmp_path)
        for notify in ("auto", NOWHERE):
            with pytest.raises(EventStoreError, match="9999"):
                await _open_and_close(make(url, notify=notify))
        await until(lambda: connection.execute(SESSIONS).fetchone() <= sessions)
        await left.nothing()


class _Slow(SqlCopy):
    """A copy that stands still in one of its calls until it may go on."""

    def __init__(self, url: str, call: str) -> None:
        super().__init__(url)
        self.began, self.go, self.calls = threading.Event(), threading.Event(), list[str]()
        self._call = call

    def open(self, log_id: str) -> Any:
        """Open it."""
        return self._stand_still("open", super().open, log_id)

    def apply(self, events: Any, cursor: Any) -> None:
        """Apply events."""
        self._stand_still("apply", super().apply, events, cursor)

    def close(self) -> None:
        """Close it."""
        self._stand_still("close", super().close)

    def _stand_still(self, name: str, function: Any, *args: Any) -> Any:
        self.calls.append(f"{name} began")
        if name == self._call:
            self.began.set()
            assert self.go.wait(DEADLINE)
        try:
            return function(*args)
        finally:
            self.calls.append(f"{name} ended")


async def _touched(folder: Path) -> None:
    """Return once the writer has opened the notifier's file: that is after the append returns."""
    await until((folder / "log" / "log.db-notify" / "position").exists)


@pytest.mark.parametrize("call", ["open", "apply", "close"])
def test_asyncio_cancels_a_runner_in_a_call_and_its_projection_is_closed(
    log: str, tmp_path: Path, call: str
) -> None:
    other = tmp_path / "other"
    other.mkdir()

    async def main() -> None:
        async with EventStore.open(log) as store:
            await store.append("a/1", some(1))
            await _touched(tmp_path)
            left = Left(other)
            copy = _Slow(f"sqlite:///{other}/copy.db", call)
            task = asyncio.ensure_future(ProjectionRunner(store, copy).catch_up())
            await until(copy.began.is_set)
            for _ in range(2):
                task.cancel()
                await asyncio.sleep(0)
            copy.go.set()
            with suppress(asyncio.CancelledError):
                await task
            await left.nothing(but={"copy.db", "copy.db-copy"})
            names = [one.split()[0] for one in copy.calls]
            assert names[::2] == names[1::2]  # Each call ended before the next began.
            await ProjectionRunner(store, SqlCopy(f"sqlite:///{other}/copy.db")).catch_up()

    asyncio.run(main())
