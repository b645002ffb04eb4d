"""The thread that hears of a change reads it for the subscriptions that wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import positions, some
from support.tail_readers import Reads, before_reads, following, unwoken, with_writer
from support.waiting import signalled, take, until

from eventstore import StorageError

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.anyio


async def test_the_thread_that_hears_of_a_change_reads_it(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with with_writer(lasting_url) as (store, writer), store.subscribe_changes() as changes:
        threads: set[str] = set()
        before_reads(store, monkeypatch, lambda: threads.add(threading.current_thread().name))

        async def append_once_awaited() -> None:
            await until(lambda: store.feed.changed.awaited)
            await writer.append("a/1", some(1))

        # The first ones may be read because the notifier begins.
        for position in range(1, 50):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(append_once_awaited)
                assert positions(await take(changes, 1)) == [position]
            if threads & {"eventstore-watch", "eventstore-listener"}:
                return
        pytest.fail(f"only read in {threads}")


async def test_what_fails_in_that_thread_is_read_by_the_subscription(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with unwoken(f"sqlite:///{path}") as (store, writer), following(store) as arrivals:
        failures: list[StorageError] = []

        def fail_once() -> None:
            if not failures:
                failures.append(StorageError(str(path), "it is away", transient=True))
                raise failures[0]

        before_reads(store, monkeypatch, fail_once)
        await writer.append("a/1", some(1))
        store.feed._hear(1)
        assert len(failures) == 1
        assert await arrivals.receive() == 1


async def test_a_busy_event_loop_is_read_one_page_for(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with unwoken(f"sqlite:///{path}") as (store, writer), following(store) as arrivals:
        await writer.append("a/1", some(3))
        reads = Reads(store, monkeypatch)
        for position in range(1, 50):
            store.feed._hear(position)
        assert len(reads.queries) == 1
        assert await arrivals.receive() == 1


async def test_after_a_false_wake_up_that_thread_reads_nothing(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with unwoken(f"sqlite:///{path}") as (store, writer), following(store) as arrivals:
        tail = store.feed.tail
        before = tail.reads
        store.feed._hear(1_000)
        await signalled(tail.read_done, lambda: tail.reads > before)
        assert tail.back_off.false_wake_ups == 1
        await writer.append("a/1", some(1))
        reads = Reads(store, monkeypatch)
        store.feed._hear(1)
        assert reads.queries == []
        assert await arrivals.receive() == 1
