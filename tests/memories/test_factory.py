"""Who may call a store of memories: threads, event loops, forks; and the factory."""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from support.memories import Place, some
from support.totals import read_table
from support.waiting import DEADLINE, take

from eventstore import ConfigError, EventStore, NewEvent, StoreClosedError, StreamWrite
from projections.memories import MemoryStore, MemoryTables, get_memory_store
from projections.memories.tables import memory_table
from projections.runner import ProjectionRunner
from projections.seams.background_loop import close_background_loop, get_background_loop

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty directory, without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("MEMORIES_TYPE", "MEMORIES_DIR", "URL", "CONFIG"):
        monkeypatch.delenv(f"EVENTSTORE_{name}", raising=False)
    return tmp_path


def test_many_threads_share_one_background(memories: MemoryStore) -> None:
    begin = threading.Barrier(8)

    def work(thread: int) -> None:
        begin.wait()
        for number in range(10):
            memory = some(f"t{thread}-{number}", content=str(number))
            memories.store(memory)
            assert memories.get(memory.id) == memory
            memories.store(some("shared", content=f"{thread} {number}"))

    before = set(threading.enumerate())
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(work, range(8)))
        started = set(threading.enumerate()) - before
    assert memories.count() == 81
    assert len(memories.history("shared")) == 80
    # At most one of each: the writer's, which stores access times, and those of PostgreSQL.
    own = [thread.name for thread in started if thread.name.startswith("eventstore")]
    assert len(own) == len(set(own))
    assert set(own) <= {"eventstore-writer", "eventstore-watchdog", "eventstore-listener"}


@pytest.mark.promise("memories")
def test_of_many_who_delete_one_memory_one_is_told_so(memories: MemoryStore) -> None:
    for _ in range(5):
        memories.store(some())
        with ThreadPoolExecutor(8) as threads:
            told = list(threads.map(lambda _: memories.delete("m-1"), range(8)))
        assert sorted(told) == [False] * 7 + [True]
    assert [change.kind for change in memories.history("m-1")] == ["stored", "deleted"] * 5


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_it_may_be_called_in_the_thread_of_a_running_loop(
    memories: MemoryStore, backend: str
) -> None:
    async def main() -> None:
        memories.store(some())
        assert memories.get("m-1") == some()
        assert await anyio.to_thread.run_sync(memories.count) == 1

    anyio.run(main, backend=backend)


def test_a_call_that_would_wait_for_itself_is_refused(memories: MemoryStore) -> None:
    memories.store(some())

    async def within() -> None:
        memories.count()

    with pytest.raises(StoreClosedError, match="wait for itself"):
        get_background_loop().start(within).result()


def test_changes_are_followed_by_any_loop_one_after_another(memories: MemoryStore) -> None:
    memories.store(some("before"))
    memories.list_ids()
    changes = memories.subscribe_changes()
    memories.store(some())
    memories.delete("m-1")

    async def next_one() -> tuple[Any, ...]:
        return tuple((await take(changes, 1))[0][:3])

    assert asyncio.run(next_one()) == ("stored", "m-1", some())
    assert trio.run(next_one) == ("deleted", "m-1", None)
    with anyio.from_thread.start_blocking_portal() as portal:
        waiting = portal.start_task_soon(next_one)
        memories.store(some("later"))
        assert waiting.result(DEADLINE) == ("stored", "later", some("later"))
        portal.call(changes.aclose)


def test_a_subscription_begins_where_it_is_told_or_now(memories: MemoryStore) -> None:
    for memory_id in "abc":
        memories.store(some(memory_id))
    now, after = memories.subscribe_changes(), memories.subscribe_changes(after=1)
    memories.store(some("d"))
    assert [c.memory_id for c in asyncio.run(take(now, 1))] == ["d"]
    assert [c.memory_id for c in asyncio.run(take(after, 3))] == ["b", "c", "d"]


@pytest.mark.promise("memories")
def test_nothing_stored_between_loading_and_following_is_missed(memories: MemoryStore) -> None:
    memories.store(some("a"))
    ids = memories.list_ids()
    memories.store(some("b"))
    memories.get("b")
    memories.get_batch(ids)
    changes = memories.subscribe_changes()
    assert asyncio.run(take(changes, 1))[0].memory_id == "b"


def test_a_follower_is_told_that_content_was_erased(lasting: Place) -> None:
    async def redact() -> None:
        from projections.memories import MemoryTables

        async with EventStore.open(lasting.url, inline=[MemoryTables()]) as log:
            await log.redact(1, "asked to forget")

    with lasting.open() as memories:
        memories.store(some("secret"))
        memories.store(some("other"))
        changes = memories.subscribe_changes()
        asyncio.run(redact())
        change = asyncio.run(take(changes, 1))[0]
        assert (change.kind, change.memory_id, change.memory) == ("redacted", "secret", None)
        assert (memories.get("secret"), memories.list_ids()) == (None, ["other"])
        assert memories.delete("secret") is False
        assert [c.kind for c in memories.history("secret")] == ["redacted"]
        memories.store(some("secret", "new"))
        assert memories.get("secret") == some("secret", "new")
    if lasting.directory is not None:
        assert lasting.files().keys() == {"secret", "other"}


def in_a_fork(function: Callable[[], None]) -> None:
    """Run a function in a forked child; fail where that did."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            function()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    assert status == 0


@pytest.mark.promise("memories")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_opens_it_anew(lasting: Place) -> None:
    with lasting.open() as memories:
        memories.store(some("parent"))

        def child() -> None:
            assert memories.get("parent") == some("parent")
            memories.store(some("child"))
            memories.close()

        in_a_fork(child)
        assert memories.list_ids() == ["child", "parent"]
        memories.store(some("after"))
        assert memories.count() == 3


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_memory_of_another_process_is_not_taken_for_empty() -> None:
    with MemoryStore("memory://") as memories:
        memories.store(some())

        def child() -> None:
            for _ in range(2):
                with pytest.raises(StoreClosedError, match="no more"):
                    memories.count()

        in_a_fork(child)
        assert memories.count() == 1


def test_it_opens_again_when_the_background_was_closed(lasting: Place) -> None:
    memories = lasting.open()
    memories.store(some())
    close_background_loop()
    assert memories.get("m-1") == some()
    memories.close()


def test_calls_that_run_are_finished_before_it_closes(lasting: Place) -> None:
    memories = lasting.open()
    memories.count()
    outcomes: list[str] = []
    started = threading.Barrier(5)

    def work(thread: int) -> None:
        started.wait()
        for number in range(1000):
            try:
                memories.store(some(f"{thread}-{number}"))
            except StoreClosedError:
                return
            outcomes.append(f"{thread}-{number}")

    with ThreadPoolExecutor(4) as threads:
        done = threads.map(work, range(4))
        started.wait()
        while len(outcomes) < 20:
            pass
        memories.close()
        list(done)
    with lasting.open() as again:
        assert again.list_ids() == sorted(outcomes)


def test_what_is_wrong_with_the_arguments_is_said_at_once() -> None:
    with pytest.raises(ConfigError, match="pigeon"):
        MemoryStore("pigeon://roof")


def test_an_opening_that_failed_is_tried_again_at_the_next_call(tmp_path: Path) -> None:
    memories = MemoryStore(f"sqlite:///{tmp_path}/not/there.db")
    with pytest.raises(Exception, match="directory"):
        memories.count()
    (tmp_path / "not").mkdir()
    memories.store(some())
    assert memories.count() == 1
    memories.close()


@pytest.mark.parametrize("name", ["redis", "", "file system"])
def test_a_type_that_is_not_known_is_refused_with_those_that_are(
    empty: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("EVENTSTORE_MEMORIES_TYPE", name)
    known = r"EVENTSTORE_MEMORIES_TYPE.*database, filesystem, memory"
    with pytest.raises(ValueError, match=known):
        get_memory_store()


@pytest.mark.parametrize(
    ("name", "there"),
    [
        (None, {"eventstore.db"}),
        (" DataBase\n", {"eventstore.db"}),
        ("FILESYSTEM ", {"memories", "memories.eventstore.db"}),
        ("Memory", set()),
    ],
)
def test_the_factory_gives_what_the_environment_says(
    empty: Path, monkeypatch: pytest.MonkeyPatch, name: str | None, there: set[str]
) -> None:
    if name is not None:
        monkeypatch.setenv("EVENTSTORE_MEMORIES_TYPE", name)
    memories = get_memory_store()
    assert list(empty.iterdir()) == [], "nothing is opened before the first use"
    assert get_memory_store() is memories
    monkeypatch.chdir("/")
    memories.store(some())
    assert memories.count() == 1
    found = {path.name for path in empty.iterdir() if not path.name.endswith(("-wal", "-shm"))}
    assert {one for one in found if not one.endswith(("-gate", "-writer", "-notify"))} == there
    if "memories" in there:
        assert (empty / "memories" / "m-1.json").exists()
    monkeypatch.chdir(empty)
    memories.close()
    assert get_memory_store() is not memories, "what was closed is replaced"
    get_memory_store().close()


def test_a_directory_without_a_name_is_refused(
    empty: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVENTSTORE_MEMORIES_TYPE", "filesystem")
    monkeypatch.setenv("EVENTSTORE_MEMORIES_DIR", "/")
    with pytest.raises(ConfigError, match="EVENTSTORE_MEMORIES_DIR"):
        get_memory_store()


@pytest.mark.promise("memories")
def test_a_commit_of_many_events_ends_as_a_rebuild_of_it_does(lasting: Place) -> None:
    def good(number: int, content: str = "x") -> NewEvent:
        fields: dict[str, Any] = {
            "namespace": "help",
            "status": "active",
            "created_at": number,
            "updated_at": 1,
        }
        return NewEvent("MemoryStored", {"id": f"m-{number}", "content": content, **fields})

    def bad() -> NewEvent:
        return NewEvent("MemoryStored", {})

    def gone() -> NewEvent:
        return NewEvent("MemoryDeleted", {"id": "?"})

    stories = [
        [good(0), bad()],
        [good(1), gone(), good(1, "newer")],
        [good(2), gone(), bad()],
        [bad(), gone(), good(3)],
    ]

    async def append() -> list[tuple[Any, ...]]:
        async with EventStore.open(lasting.url, inline=[MemoryTables()]) as log:
            await log.append_many(
                StreamWrite(f"memory/m-{number}", story) for number, story in enumerate(stories)
            )
            followed = MemoryTables().at(f"sqlite:///{lasting.where / 'followed.db'}")
            await ProjectionRunner(log, followed).catch_up()
        return read_table(f"sqlite:///{lasting.where / 'followed.db'}", memory_table)

    followed = asyncio.run(append())
    assert sorted(read_table(lasting.url, memory_table)) == sorted(followed)
    with lasting.open() as memories:
        assert memories.list_ids() == ["m-0", "m-1", "m-3"]
        assert [one.content for one in memories.get_batch(["m-1"])] == ["newer"]


@pytest.mark.promise("memories")
def test_what_a_program_without_the_table_appends_is_read_at_once(lasting: Place) -> None:
    async def append(*events: NewEvent) -> None:
        async with EventStore.open(lasting.url) as log:
            await log.append("memory/m-1", events)

    with lasting.open() as memories:
        memories.store(some())
        asyncio.run(append(NewEvent("MemoryDeleted", {"id": "m-1"})))
        assert memories.get("m-1") is None
        asyncio.run(append(NewEvent("MemoryDeleted", {"id": "m-1"})))
        memories.store(some(content="again"))
        assert memories.list_ids() == ["m-1"]


def test_events_that_no_store_writes_change_nothing(lasting: Place) -> None:
    whole: dict[str, Any] = {"id": "m-1", "content": "x", "namespace": "help", "status": "active",
             "created_at": 1, "updated_at": 1}  # fmt: skip
    strange: list[Any] = [
        None, [], b"\xff", {}, {**whole, "namespace": "gossip"}, {**whole, "id": "other"},
        {**whole, "embedding": ["x"]}, {key: whole[key] for key in whole if key != "created_at"},
    ]  # fmt: skip

    async def append() -> None:
        async with EventStore.open(lasting.url, inline=[MemoryTables()]) as log:
            for data in strange:
                await log.append("memory/m-1", [NewEvent("MemoryStored", data)])
            await log.append("memory/m-1", [NewEvent("MemoryAdmired", whole)])
            await log.append("elsewhere/m-1", [NewEvent("MemoryStored", whole)])
            await log.append("memory/small", [NewEvent("MemoryStored", {**whole, "id": "small"})])

    with lasting.open() as memories:
        memories.store(some())
        asyncio.run(append())
        assert memories.get("m-1") == some()
        assert memories.list_ids() == ["m-1", "small"]
        found = memories.get("small")
        assert found is not None
        assert (found.tags, found.embedding) == ([], None)
