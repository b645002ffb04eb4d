"""Group commit by whichever thread leads: threads of callers, and the writer's own for tasks."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.logs import some
from support.spies import note_calls
from support.waiting import DEADLINE

from eventstore import StorageError, StoreClosedError, StreamWrite
from eventstore.log.clock import system_clock
from eventstore.log.events import Cursor
from eventstore.log.operations import OpenConsumer, Transact
from eventstore.log.validation import check_append
from eventstore.storage.sqlite.backend import SqliteBackend
from eventstore.store._writer import Writer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventstore.log.operations import Append


class Gate:
    """An operation that tells when it has begun, and waits until it may end."""

    def __init__(self, error: BaseException | None = None) -> None:
        self.begun = threading.Event()
        self.open = threading.Event()
        self._error = error
        self.operation = Transact(self._hold)

    def _hold(self, _: object) -> None:
        self.begun.set()
        assert self.open.wait(DEADLINE)
        if self._error is not None:
            error, self._error = self._error, None
            raise error


@pytest.fixture
def backend() -> Iterator[SqliteBackend]:
    backend = SqliteBackend("memory://", system_clock)
    backend.open()
    yield backend
    backend.close()


@pytest.fixture
def writer(backend: SqliteBackend) -> Iterator[Writer]:
    writer = Writer(backend)
    writer.start(_call, lambda *_: None, lambda *_: None, lambda: False)
    yield writer
    writer.close()


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def _call(function: Callable[[], Any]) -> None:
    function()


def one(stream: str = "a/1") -> Append:
    return check_append([StreamWrite(stream, some(1))])


def queued(writer: Writer, count: int) -> None:
    """Return once so many operations are in the queue, which has no signal for it."""
    deadline = time.monotonic() + DEADLINE
    while len(writer._queue._waiting) < count:
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_thread_that_is_alone_writes_without_another_thread(
    writer: Writer, backend: SqliteBackend
) -> None:
    before = set(threading.enumerate())
    assert writer.perform(one()).position == 1
    assert not set(threading.enumerate()) - before
    assert backend.head().position == 1


def test_threads_that_wait_share_the_next_transaction(
    writer: Writer,
    backend: SqliteBackend,
    pool: ThreadPoolExecutor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    groups = note_calls(monkeypatch, backend, "write", lambda group, *_: len(group))
    gate = Gate()
    first = pool.submit(writer.perform, gate.operation)
    assert gate.begun.wait(DEADLINE)
    rest = [pool.submit(writer.perform, one(f"a/{number}")) for number in range(10)]
    task = writer.submit(one("task/1"))
    queued(writer, 11)
    gate.open.set()
    assert first.result(DEADLINE) is None
    assert len({done.result(DEADLINE).position for done in rest}) == 10
    assert groups == [1, 11]
    assert task.settled


def test_many_threads_and_tasks_lose_nothing(
    writer: Writer, backend: SqliteBackend, pool: ThreadPoolExecutor
) -> None:
    told = threading.Semaphore(0)

    def work(number: int) -> None:
        for _ in range(50):
            assert writer.perform(one(f"a/{number}")).versions
            submission = writer.submit(one(f"b/{number}"))
            submission.on_settled = told.release

    list(pool.map(work, range(16)))
    writer.close()
    assert backend.head().position == 1_600
    versions = {state.name: state.version for state in backend.stream_states("", "", 100)}
    assert versions == {f"{kind}/{number}": 50 for kind in "ab" for number in range(16)}


def test_an_interrupted_leader_leaves_no_one_waiting(
    writer: Writer, backend: SqliteBackend, pool: ThreadPoolExecutor
) -> None:
    first, second = Gate(), Gate(KeyboardInterrupt())
    leader = pool.submit(writer.perform, first.operation)
    assert first.begun.wait(DEADLINE)
    interrupted = pool.submit(writer.perform, second.operation)
    queued(writer, 1)
    thread = pool.submit(writer.perform, one())
    queued(writer, 2)
    task = writer.submit(one())
    first.open.set()
    second.open.set()
    assert leader.result(DEADLINE) is None
    with pytest.raises(KeyboardInterrupt):
        interrupted.result(DEADLINE)
    assert thread.result(DEADLINE).position > 0
    assert writer.perform(one()).position == 3
    assert task.settled


def test_an_error_of_one_operation_is_its_callers_alone(
    writer: Writer, pool: ThreadPoolExecutor
) -> None:
    gate, broken = Gate(), Gate(ValueError("mine"))
    broken.open.set()
    leader = pool.submit(writer.perform, gate.operation)
    assert gate.begun.wait(DEADLINE)
    bad = pool.submit(writer.perform, broken.operation)
    good = pool.submit(writer.perform, one())
    queued(writer, 2)
    gate.open.set()
    leader.result(DEADLINE)
    assert good.result(DEADLINE).position == 1
    # The group failed as a whole, and each was carried out again: the second try succeeds.
    assert bad.result(DEADLINE) is None


def test_closing_carries_out_what_waits_and_refuses_the_rest(
    writer: Writer, pool: ThreadPoolExecutor
) -> None:
    gate = Gate()
    leader = pool.submit(writer.perform, gate.operation)
    assert gate.begun.wait(DEADLINE)
    waiting = pool.submit(writer.perform, one())
    queued(writer, 1)
    closing = pool.submit(writer.close)
    while not writer._closing:
        time.sleep(0.001)
    with pytest.raises(StoreClosedError):
        writer.perform(one())
    gate.open.set()
    closing.result(DEADLINE)
    assert leader.result(DEADLINE) is None
    assert waiting.result(DEADLINE).position == 1


def test_closing_in_vain_tells_those_that_wait(writer: Writer, pool: ThreadPoolExecutor) -> None:
    gate = Gate()
    leader = pool.submit(writer.perform, gate.operation)
    assert gate.begun.wait(DEADLINE)
    waiting = [pool.submit(writer.perform, one()) for _ in range(3)]
    task = writer.submit(one())
    queued(writer, 4)
    writer.close(timeout=0.0)
    for done in waiting:
        with pytest.raises(StoreClosedError):
            done.result(DEADLINE)
    with pytest.raises(StoreClosedError):
        task.result()
    gate.open.set()
    assert leader.result(DEADLINE) is None


def test_progress_is_stored_without_another_write(writer: Writer, backend: SqliteBackend) -> None:
    head = backend.head()
    state = writer.perform(OpenConsumer("w", "me", head.cursor))
    done = writer.perform(one())
    writer.note("w", state.epoch, Cursor(head.log_id, done.position, done.cursor.hash))
    writer.close()
    assert backend.consumers()[0].cursor.position == 1


def test_a_database_that_is_away_fails_the_group_at_once(
    writer: Writer, backend: SqliteBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away(*_: object) -> None:
        raise StorageError("here", "is away", transient=True)

    with monkeypatch.context() as patch:
        patch.setattr(backend, "write", away)
        with pytest.raises(StorageError):
            writer.perform(one())
    assert writer.perform(one()).position == 1
