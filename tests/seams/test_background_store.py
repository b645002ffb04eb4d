"""A store in the background loop: when it opens, what ends it, and what its close waits for."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import anyio
import pytest
from support.waiting import DEADLINE

from eventstore import StoreClosedError
from projections.seams.background_loop import close_background_loop
from projections.seams.background_store import BackgroundStore

if TYPE_CHECKING:
    from collections.abc import Iterator


class Recorder:
    """Records its opening and closing; its work ends as it is told to."""

    log: list[str]

    def __init__(self, log: list[str], *, fails: bool = False) -> None:
        self.log = log
        self._fails = fails

    async def open(self) -> None:
        self.log.append("open")

    async def work(self) -> None:
        if self._fails:
            raise ZeroDivisionError("work")
        await anyio.sleep_forever()

    async def close(self) -> None:
        self.log.append("close")


async def nothing(_: Recorder) -> str:
    return "done"


@pytest.fixture(autouse=True)
def closed_loop() -> Iterator[None]:
    """Close the background loop after each test."""
    yield
    close_background_loop()


def test_a_store_opens_at_its_first_call_and_once() -> None:
    log: list[str] = []
    store = BackgroundStore(lambda: Recorder(log), "the store")
    assert log == []
    assert [store.run(nothing), store.run(nothing)] == ["done", "done"]
    assert log == ["open"]
    store.close()
    assert log == ["open", "close"]
    with pytest.raises(StoreClosedError, match="the store is closed"):
        store.run(nothing)


def test_a_store_whose_work_fails_is_closed_and_opened_by_the_next_call(
    caplog: pytest.LogCaptureFixture,
) -> None:
    log: list[str] = []
    closed = threading.Event()

    class Failing(Recorder):
        async def close(self) -> None:
            await super().close()
            closed.set()

    store = BackgroundStore(lambda: Failing(log, fails=True), "the store")
    store.run(nothing)
    assert closed.wait(DEADLINE)
    assert store.run(nothing) == "done"
    assert log[:3] == ["open", "close", "open"]
    store.close()
    assert "the store failed; its next use opens it again" in caplog.text


def test_an_opening_that_fails_is_retried_by_the_next_call() -> None:
    log: list[str] = []
    failures = [OSError("no disk")]

    class Failing(Recorder):
        async def open(self) -> None:
            if failures:
                raise failures.pop()
            await super().open()

    store = BackgroundStore(lambda: Failing(log), "the store")
    with pytest.raises(OSError, match="no disk"):
        store.run(nothing)
    assert store.run(nothing) == "done"
    assert log == ["open"]


def test_closing_waits_for_calls_that_run() -> None:
    log: list[str] = []
    began, go_on = threading.Event(), threading.Event()
    store = BackgroundStore(lambda: Recorder(log), "the store")

    async def slow(_: Recorder) -> None:
        began.set()
        await anyio.to_thread.run_sync(go_on.wait)
        log.append("call")

    call = threading.Thread(target=store.run, args=[slow])
    close = threading.Thread(target=store.close)
    call.start()
    assert began.wait(DEADLINE)
    close.start()
    go_on.set()
    close.join(DEADLINE)
    call.join(DEADLINE)
    assert log == ["open", "call", "close"]


def test_a_store_in_memory_is_not_opened_again_without_its_content() -> None:
    store = BackgroundStore(lambda: Recorder([]), "the store", reopenable=False)
    store.run(nothing)
    close_background_loop()
    with pytest.raises(StoreClosedError, match="no more"):
        store.run(nothing)


def test_a_call_in_its_own_thread_opens_the_store_and_is_waited_for() -> None:
    log: list[str] = []
    inside, leave = threading.Event(), threading.Event()
    store = BackgroundStore(lambda: Recorder(log), "the store")

    def call(opened: Recorder) -> threading.Thread:
        assert opened.log == ["open"]
        inside.set()
        assert leave.wait(DEADLINE)
        opened.log.append("called")
        return threading.current_thread()

    with ThreadPoolExecutor(2) as pool:
        called = pool.submit(store.here, call)
        assert inside.wait(DEADLINE)
        closed = pool.submit(store.close)
        with pytest.raises(TimeoutError):
            closed.result(0.05)
        with pytest.raises(StoreClosedError, match="the store is closed"):
            store.here(call)
        leave.set()
        assert called.result(DEADLINE) is not threading.current_thread()
        closed.result(DEADLINE)
    assert log == ["open", "called", "close"]


def test_what_follows_a_call_is_done_in_the_loop_before_it_returns() -> None:
    store = BackgroundStore(lambda: Recorder([]), "the store")
    done: list[object] = []

    async def then(_: Recorder, result: object) -> None:
        await anyio.lowlevel.checkpoint()
        done.append((result, threading.current_thread().name))

    assert store.here(lambda _: 7, then) == 7
    assert done == [(7, "eventstore-background")]
    store.close()


def test_a_call_in_its_own_thread_is_refused_in_the_loops_own() -> None:
    store = BackgroundStore(lambda: Recorder([]), "the store")

    async def call(_: Recorder) -> None:
        store.here(lambda _: None)

    with pytest.raises(StoreClosedError, match="would wait for itself"):
        store.run(call)
    store.close()
