"""Databases that fail for a while: tried again, once each, and for a bounded time."""

from __future__ import annotations

import logging
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Literal

import anyio
import pytest
from support.memories import Place, some
from support.postgres import private_server
from support.waiting import DEADLINE

from eventstore import StorageError
from eventstore.system.retry import retry
from projections.memories import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.postgres import Server
    from support.proxy import Proxy


def disconnect(proxy: Proxy) -> None:
    """End all connections, and accept none until ``proxy.accept()``."""
    proxy.refuse()
    proxy.cut()


@pytest.mark.slow
def test_each_cut_is_got_over_and_nothing_is_stored_twice(postgres: Server, proxy: Proxy) -> None:
    url = postgres.fresh_schema()
    with MemoryStore(proxy.url(url)) as memories:
        for number in range(10):
            memories.store(some(content=str(number)))
            proxy.cut()
            assert memories.get("m-1") == some(content=str(number))
            proxy.cut()
            memories.store(some(f"n-{number}"))
            proxy.cut()
            assert memories.delete(f"n-{number}") is True
        assert len(memories.history("m-1")) == 10
        assert memories.list_ids() == ["m-1"]


@pytest.mark.slow
@pytest.mark.promise("memories")
@pytest.mark.parametrize("sender", ["client", "server"])
def test_a_commit_whose_outcome_is_lost_is_stored_once(
    postgres: Server, proxy: Proxy, sender: Literal["client", "server"]
) -> None:
    with MemoryStore(proxy.url(postgres.fresh_schema())) as memories:
        memories.count()
        for call in (lambda: memories.store(some()), lambda: memories.delete("m-1")):
            lost = proxy.when(b"COMMIT", proxy.cut, sender=sender)
            assert call() in {None, True}
            assert lost.is_set()
        assert [change.kind for change in memories.history("m-1")] == ["stored", "deleted"]


@pytest.mark.promise("memories")
def test_a_commit_of_a_server_that_then_goes_away_is_stored_once(
    postgres: Server, proxy: Proxy
) -> None:
    with MemoryStore(proxy.url(postgres.fresh_schema())) as memories, ThreadPoolExecutor(1) as pool:
        memories.store(some())
        calls: list[Callable[[], object]] = [
            lambda: memories.store(some(content="newer")),
            lambda: memories.delete("m-1"),
        ]
        for call in calls:
            lost = proxy.when(b"COMMIT", lambda: disconnect(proxy), sender="server")
            told = pool.submit(call)
            assert lost.wait(DEADLINE)
            with pytest.raises(TimeoutError):
                told.result(0.3)
            proxy.accept()
            assert told.result(DEADLINE) in {None, True}
        kinds = [change.kind for change in memories.history("m-1")]
        assert kinds == ["stored", "stored", "deleted"]


def test_a_server_that_is_away_for_a_while_is_waited_for(postgres: Server, proxy: Proxy) -> None:
    with MemoryStore(proxy.url(postgres.fresh_schema())) as memories, ThreadPoolExecutor(4) as pool:
        memories.store(some())
        disconnect(proxy)
        calls: list[Future[Any]] = [
            pool.submit(memories.store, some("two")),
            pool.submit(memories.get, "m-1"),
            pool.submit(memories.delete, "nothing"),
        ]
        with pytest.raises(TimeoutError):
            calls[0].result(0.5)
        assert not any(call.done() for call in calls)
        proxy.accept()
        assert [call.result(DEADLINE) for call in calls] == [None, some(), False]


@pytest.mark.promise("memories")
def test_a_server_that_stays_away_is_a_typed_error_in_time(
    postgres: Server,
    proxy: Proxy,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    caplog.set_level(logging.INFO, "eventstore.system.retry")
    monkeypatch.setattr("eventstore.system.backoff.random.uniform", lambda _, most: most)
    with MemoryStore(proxy.url(postgres.fresh_schema()), retry_seconds=0.5) as memories:
        memories.store(some())
        disconnect(proxy)
        with pytest.raises(StorageError) as caught:
            memories.get("m-1")
        assert caught.value.transient
        with pytest.raises(StorageError) as caught:
            memories.store(some("two"))
        assert caught.value.transient
        # Each call pauses for 0.1 and 0.2 s at the most: the next pause would end too late.
        assert caplog.text.count("trying again") <= 4
        proxy.accept()
        assert memories.list_ids() in (["m-1"], ["m-1", "two"])


def test_a_server_that_is_away_at_the_start_is_waited_for(postgres: Server, proxy: Proxy) -> None:
    proxy.refuse()
    memories = MemoryStore(proxy.url(postgres.fresh_schema()))
    with ThreadPoolExecutor(1) as pool:
        stored = pool.submit(memories.store, some())
        assert not stored.done()
        proxy.accept()
        stored.result(DEADLINE)
    assert memories.count() == 1
    memories.close()


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_restarts_of_the_server_are_got_over() -> None:
    with (
        private_server() as server,
        MemoryStore(server.url()) as memories,
        ThreadPoolExecutor(4) as pool,
    ):
        memories.store(some("first"))
        modes: tuple[Literal["fast", "immediate"], ...] = ("fast", "immediate", "fast")
        for number, mode in enumerate(modes):
            ids = [f"{number}-{n}" for n in range(200)]
            stored = [pool.submit(memories.store, some(one)) for one in ids]
            server.restart(mode)
            for one in stored:
                one.result(60)
            assert len(memories.get_batch(ids)) == len(ids)
        assert memories.count() == 601
        assert len(memories.history("1-7")) == 1


def test_only_what_may_work_again_is_tried_again() -> None:
    calls: list[int] = []

    async def fail(error: StorageError) -> None:
        calls.append(1)
        if len(calls) < 4:
            raise error

    async def run(error: StorageError) -> None:
        calls.clear()
        await retry(lambda: fail(error), 30)

    anyio.run(run, StorageError("x", "lost", transient=True))
    assert len(calls) == 4
    anyio.run(run, StorageError("x", "slow", timed_out=True))
    assert len(calls) == 4
    with pytest.raises(StorageError, match="full"):
        anyio.run(run, StorageError("x", "full"))
    assert len(calls) == 1


def test_a_place_that_is_no_database_is_not_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eventstore.system.retry")
    (tmp_path / "events.db").write_bytes(b"no database, " * 1000)
    with pytest.raises(StorageError, match="not a database"):
        Place("sqlite", tmp_path).open().store(some())
    assert "trying again" not in caplog.text
