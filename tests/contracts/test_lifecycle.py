"""Opening, closing and cancelling."""

from contextlib import suppress

import anyio
import pytest
from support.logs import some
from support.waiting import DEADLINE, collect, take

from eventstore import ConfigError, EventStore, StoreClosedError

pytestmark = pytest.mark.anyio


async def test_a_store_that_is_not_open_says_so(url: str) -> None:
    store = EventStore.open(url)
    for _ in range(2):
        with pytest.raises(StoreClosedError):
            await store.append("a/1", some(1))
        with pytest.raises(StoreClosedError):
            await store.head()
        with pytest.raises(StoreClosedError):
            await collect(store.read())
        with pytest.raises(StoreClosedError):
            await take(store.subscribe_changes(), 1)
        with pytest.raises(StoreClosedError):
            await take(store.subscribe_changes(consumer="w"), 1)
        if not store.closed:
            async with store:
                await store.append("a/1", some(1))


async def test_a_store_is_entered_once(store: EventStore) -> None:
    with pytest.raises(StoreClosedError):
        async with store:
            pass


async def test_closing_twice_is_closing_once(url: str) -> None:
    async with EventStore.open(url) as store:
        await store.aclose()
        await store.aclose()


async def test_appends_that_are_queued_are_stored_before_closing(url: str, runner: str) -> None:
    if runner == "threads":
        pytest.skip("threads begin when the system lets them: tests/store/test_writer.py waits")
    stored: list[int] = []
    async with anyio.create_task_group() as tasks, EventStore.open(url) as store:

        async def append() -> None:
            stored.append((await store.append("a/1", some(1))).position)

        for _ in range(20):
            tasks.start_soon(append)
        await anyio.wait_all_tasks_blocked()
    assert sorted(stored) == list(range(1, 21))


@pytest.mark.promise("durable")
async def test_a_cancelled_append_is_settled_by_appending_again(store: EventStore) -> None:
    for _ in range(30):
        events = some(2)
        before = (await store.head()).position
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.append, "a/1", events)
            await anyio.lowlevel.checkpoint()
            tasks.cancel_scope.cancel()
        done = await store.append("a/1", events)
        assert done.position == before + 2
        assert (await store.head()).position == before + 2


async def test_closing_while_many_follow_tells_each_the_same(url: str) -> None:
    told: list[BaseException] = []
    async with anyio.create_task_group() as tasks, EventStore.open(url, poll=0.01) as store:
        await store.append("a/1", some(1))

        async def follow() -> None:
            try:
                await collect(store.subscribe_changes())
            except Exception as error:
                told.append(error)

        async def write() -> None:
            with suppress(StoreClosedError):
                while True:
                    await store.append("a/1", some(1))

        for _ in range(40):
            tasks.start_soon(follow)
        tasks.start_soon(write)
        await take(store.subscribe_changes(), 51)
    assert {type(error) for error in told} == {StoreClosedError}
    assert len(told) == 40


async def test_work_that_is_cancelled_leaves_the_store_usable(
    store: EventStore, start: int
) -> None:
    with anyio.move_on_after(0.05):
        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(collect, store.subscribe_changes(after=start))
    with anyio.fail_after(DEADLINE):
        assert (await store.append("a/1", some(1))).position == start + 1


@pytest.mark.parametrize(
    "bad",
    ["", "events.db", "mysql://x/y", "sqlite://", "sqlite:///", "sqlite:////",
     "sqlite:///:memory:", "sqlite:///a\0b", "sqlite://h:xx/a", "sqlite://host/e.db",
     "sqlite:///e.db?mode=ro", "sqlite:///~no-such-user/e.db", "memory:x", None, 5],
)  # fmt: skip
def test_a_url_that_names_no_log_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError):
        EventStore.open(bad, notify="none")


@pytest.mark.parametrize("notify", ["", "yes", "pigeon://x", "file://x"])
def test_a_notifier_that_is_not_known_is_refused(url: str, notify: str) -> None:
    with pytest.raises(ConfigError):
        EventStore.open(url, notify=notify)
