"""The blocking store by itself; what it has in common with the other one is in the contracts."""

from __future__ import annotations

import inspect
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from support.logs import positions, some
from support.processes import child, wait_for
from support.waiting import DEADLINE

from eventstore import EventStore as AsyncStore
from eventstore import InvalidInputError, StoreClosedError
from eventstore import Subscription as AsyncSubscription
from eventstore.sync import EventStore, Subscription

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

ONLY_ASYNC = {"aclose", "feed", "in_threads", "named_lock", "named_locks", "restore"}
"""What the blocking store does without: ``close`` is its name for the first of them."""


@pytest.fixture
def store(url: str) -> Iterator[EventStore]:
    with EventStore.open(url, poll=3600) as store:
        yield store


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(20) as pool:
        yield pool


def public(kind: type) -> set[str]:
    return {name for name in dir(kind) if not name.startswith("_")}


def test_both_stores_have_the_same_names_and_arguments() -> None:
    assert public(EventStore) >= public(AsyncStore) - ONLY_ASYNC
    for name in public(AsyncStore) - ONLY_ASYNC:
        theirs, mine = getattr(AsyncStore, name), getattr(EventStore, name)
        if callable(theirs):
            expected = dict(inspect.signature(theirs).parameters)
            given = dict(inspect.signature(mine).parameters)
            given.pop("timeout", None) if name == "subscribe_changes" else None
            assert [(p.name, p.kind, p.default) for p in given.values()] == [
                (p.name, p.kind, p.default) for p in expected.values()
            ], name
    names = public(AsyncSubscription) - {"aclose", "give_up_at"}
    assert public(Subscription) >= names | {"close"}


def test_no_thread_is_started_to_append_and_to_read(store: EventStore) -> None:
    before = set(threading.enumerate())
    store.append("a/1", some(3))
    assert positions(store.read()) == [1, 2, 3]
    assert store.head().position == 3
    assert store.query(lambda _, head: head.position) == 3
    assert store.consumers() == []
    assert not set(threading.enumerate()) - before


def test_a_reader_goes_on_where_a_step_has_left_it(store: EventStore) -> None:
    store.append("a/1", some(5))
    reader = store.read()
    assert next(reader).position == 1
    assert positions(reader) == [2, 3, 4, 5]
    assert next(reader, None) is None


def test_a_subscription_ends_when_it_was_idle_and_goes_on_with_the_next_loop(
    store: EventStore,
) -> None:
    store.append("a/1", some(2))
    changes = store.subscribe_changes(timeout=0.01)
    assert positions(changes) == [1, 2]
    assert positions(changes) == []
    store.append("a/1", some(1))
    assert positions(changes) == [3]
    assert changes.caught_up
    assert changes.position == 3


@pytest.mark.parametrize("timeout", [-1, float("nan"), "1"])
def test_a_timeout_that_is_no_time_is_refused(store: EventStore, timeout: float) -> None:
    with pytest.raises(InvalidInputError):
        store.subscribe_changes(timeout=timeout)


def test_an_append_wakes_a_thread_that_follows(store: EventStore, pool: ThreadPoolExecutor) -> None:
    changes = store.subscribe_changes(after=0)
    seen = store._shared.feed.waiting.count
    got = pool.submit(next, changes)
    woken = store._waiting.event()
    assert store._waiting.run(store._shared.feed.waiting.wait(seen, DEADLINE, woken))
    store.append("a/1", some(1))
    assert got.result(DEADLINE).position == 1


def test_closing_a_subscription_ends_the_thread_that_reads_it(
    store: EventStore, pool: ThreadPoolExecutor
) -> None:
    changes = store.subscribe_changes(consumer="w")
    seen = store._shared.feed.waiting.count
    got = pool.submit(list, changes)
    woken = store._waiting.event()
    assert store._waiting.run(store._shared.feed.waiting.wait(seen, DEADLINE, woken))
    with pytest.raises(InvalidInputError):
        next(changes)
    changes.close()
    assert got.result(DEADLINE) == []
    assert list(changes) == []


def test_closing_the_store_ends_what_other_threads_wait_for(
    store: EventStore, pool: ThreadPoolExecutor
) -> None:
    store.append("a/1", some(1))
    with store.subscribe_changes(consumer="w"):
        pass
    signal = store._shared.feed.waiting
    seen = signal.count
    running: list[Future[Any]] = [
        pool.submit(list, store.subscribe_changes()),
        pool.submit(store.wait_applied, 1, ["w"], timeout=DEADLINE),
    ]
    assert store._waiting.run(signal.wait(seen, DEADLINE, store._waiting.event()))
    store.close()
    for one in running:
        with pytest.raises(StoreClosedError):
            one.result(DEADLINE)


def test_appends_of_a_store_that_closes_are_stored_or_refused(
    url: str, pool: ThreadPoolExecutor
) -> None:
    begun = threading.Barrier(17)
    closing = EventStore.open(url)

    def work(number: int) -> int:
        begun.wait(DEADLINE)
        for version in range(10_000):
            try:
                closing.append(f"a/{number}", some(1), expected=version)
            except StoreClosedError:
                return version
        raise AssertionError("the store was never closed")

    with closing:
        running = [pool.submit(work, number) for number in range(16)]
        begun.wait(DEADLINE)
        closing.append("b/1", some(1))
    stored = [one.result(DEADLINE) for one in running]
    with EventStore.open(url) as store:
        versions = {state.name: state.version for state in store.streams("a/")}
    assert versions == {f"a/{number}": count for number, count in enumerate(stored) if count}


def test_a_store_that_is_not_open_says_so(url: str) -> None:
    store = EventStore.open(url)
    uses = (
        lambda: store.append("a/1", some(1)),
        store.head,
        lambda: list(store.read()),
        lambda: list(store.subscribe_changes(timeout=0)),
        store.consumers,
        store.transact,
    )
    for _ in range(2):
        for use in uses:
            with pytest.raises(StoreClosedError):
                use()
        if not store.closed:
            with store:
                store.append("a/1", some(1))
    with pytest.raises(StoreClosedError):
        store.__enter__()
    store.close()


@pytest.mark.slow
def test_a_forked_child_is_told_and_the_parent_goes_on(lasting_url: str) -> None:
    with child("forking_threads", lasting_url) as process:
        for line in ("child ForkedError",) * 3 + ("child 2", "parent 3"):
            wait_for(process, line)
