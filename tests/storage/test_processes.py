"""Several processes on one log: order, wake-ups, takeover."""

from __future__ import annotations

import sqlite3
from contextlib import ExitStack
from typing import TYPE_CHECKING

import anyio
import pytest
from support.audit import audit, audit_url
from support.logs import LASTING, LOG_URLS, positions, some
from support.plain import plain
from support.processes import child, wait_for
from support.waiting import DEADLINE, collect, eventually, take

from eventstore import EventStore, TakenOverError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def go(process: object) -> None:
    """Let a process that waits for a line continue."""
    stdin = getattr(process, "stdin", None)
    assert stdin is not None
    stdin.write("go\n")
    stdin.flush()


@pytest.mark.promise("order")
def test_processes_that_append_at_once_leave_one_gapless_order(lasting_url: str) -> None:
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child("counting_writer", lasting_url, name, 100)) for name in "abc"
        ]
        for process in processes:
            wait_for(process, "ready")
        for process in processes:
            go(process)
        for process in processes:
            wait_for(process, "done")
    assert audit_url(lasting_url) == 300
    with plain(lasting_url) as connection:
        counts = connection.execute("SELECT count(DISTINCT version) FROM event GROUP BY stream_id")
        assert counts.fetchall() == [(100,), (100,), (100,)]


@pytest.mark.parametrize("notify", ["auto", "none"])
async def test_a_follower_sees_each_commit_of_another_process_in_order(
    lasting_url: str, notify: str
) -> None:
    with child("counting_writer", lasting_url, "a", 200) as process:
        async with EventStore.open(lasting_url, notify=notify, poll=0.05) as store:
            await anyio.to_thread.run_sync(wait_for, process, "ready")
            go(process)
            assert positions(await take(store.subscribe_changes(), 200)) == list(range(1, 201))


async def test_the_file_notifier_wakes_a_follower_long_before_its_timer(url: str) -> None:
    async with EventStore.open(url, poll=3600) as store:
        subscription = store.subscribe_changes()
        await store.append("a/1", some(1))
        await take(subscription, 1)
        async with EventStore.open(url) as other, anyio.create_task_group() as tasks:
            tasks.start_soon(take, subscription, 2)
            # The watch begins in a thread of its own; appended to until it has noticed.
            while subscription.position < 3:
                await other.append("a/1", some(1))

                async def noticed(at: int = (await other.head()).position) -> bool:
                    return subscription.position >= min(at, 3)

                with anyio.move_on_after(0.5):
                    await eventually(noticed)


async def test_a_consumer_is_taken_over_from_another_process(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(5))
        with child("flushing_consumer", lasting_url) as process:
            await anyio.to_thread.run_sync(wait_for, process, "waiting")
            mine = store.subscribe_changes(consumer="w")
            assert positions(await take(mine, 2)) == [4, 5]
        async with store.subscribe_changes(consumer="w"):
            with pytest.raises(TakenOverError):
                await take(mine, 1)


@pytest.mark.promise("subscription")
async def test_a_killed_consumer_s_successor_goes_on_after_its_last_flush(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(5))
        with child("flushing_consumer", lasting_url) as process:
            await anyio.to_thread.run_sync(wait_for, process, "took 2")
            process.kill()
        async with store.subscribe_changes(consumer="w") as subscription:
            (event,) = await take(subscription, 1)
            assert event.position in {3, 4}


def test_a_forked_child_may_open_the_log_for_itself(lasting_url: str) -> None:
    with child("forking_writer", lasting_url) as process:
        output, _ = process.communicate(timeout=DEADLINE)
    assert output.split("\n")[:2] == ["child 2", "parent 3"]
    assert audit_url(lasting_url) == 3


def test_a_dead_writer_s_forked_child_keeps_no_turn(path: Path, url: str) -> None:
    with child("forking_holder", url) as holder:
        wait_for(holder, "forked")
        holder.kill()
        with child("counting_writer", url, "a", 3) as process:
            go(process)
            process.communicate(timeout=DEADLINE)
    assert audit(path) == 3


async def test_a_foreign_writer_only_delays(path: Path, url: str) -> None:
    async with EventStore.open(url) as store:
        await store.append("a/1", some(1))
        foreign = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        foreign.execute("BEGIN IMMEDIATE")
        done = anyio.Event()

        async def append() -> None:
            await store.append("a/1", some(1))
            done.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(append)
            assert positions(await collect(store.read())) == [1]
            await anyio.wait_all_tasks_blocked()
            assert not done.is_set()
            foreign.execute("ROLLBACK")
        foreign.close()
        assert (await store.head()).position == 2


@pytest.mark.slow
@pytest.mark.parametrize("kind", LASTING)
async def test_stores_that_open_a_fresh_log_at_once_agree_on_it(tmp_path: Path, kind: str) -> None:
    for number in range(15):
        directory = tmp_path / str(number)
        await anyio.Path(directory).mkdir()
        url = LOG_URLS[kind](directory)
        ids: list[str] = []

        async def open_it(url: str = url, ids: list[str] = ids) -> None:
            async with EventStore.open(url, notify="none") as store:
                await store.append("a/1", some(1))
                ids.append((await store.head()).log_id)

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(open_it)
        assert len(set(ids)) == 1
        assert audit_url(url) == 5
