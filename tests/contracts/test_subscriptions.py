"""Following: ordered, gap-free, resumable, and never in a writer's way (promises 5 and 6)."""

from random import Random

import anyio
import pytest
from support.logs import all_take, data, positions, some
from support.waiting import DEADLINE, collect, signalled, take

from eventstore import END, Cursor, EventStore, NewEvent, StreamWrite, Subscription
from eventstore.changes._page_cache import PAGE_EVENTS
from eventstore.errors import InvalidInputError, StoreClosedError

pytestmark = pytest.mark.anyio


async def test_a_subscription_yields_what_is_there_and_what_comes(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(3))
    subscription = store.subscribe_changes(after=start)
    assert positions(await take(subscription, 3), start) == [1, 2, 3]
    await store.append("a/1", some(2))
    assert positions(await take(subscription, 2), start) == [4, 5]


@pytest.mark.promise("subscription")
async def test_nothing_is_lost_between_reading_and_waiting(store: EventStore, start: int) -> None:
    async with all_take(store, 3, 300, start):
        for _ in range(100):
            await store.append_many([StreamWrite("a/1", some(2)), StreamWrite("b/1", some(1))])


@pytest.mark.promise("subscription")
async def test_a_follower_that_starts_again_at_random_misses_and_repeats_nothing(
    store: EventStore, start: int
) -> None:
    random, seen = Random(1), list[int]()
    cursor: Cursor | int = start
    for _ in range(30):
        await store.append("a/1", some(random.randint(1, 5)))
        subscription = store.subscribe_changes(after=cursor)
        left = (await store.head()).position - subscription.position
        seen += positions(await take(subscription, random.randint(1, left)), start)
        cursor = subscription.cursor or 0
        await subscription.aclose()
    assert seen == list(range(1, len(seen) + 1))


async def test_end_starts_behind_what_is_there(store: EventStore, start: int) -> None:
    await store.append("a/1", some(3))
    async with store.subscribe_changes(after=END) as subscription:
        assert subscription.position == start + 3
        await store.append("a/1", some(1))
        assert positions(await take(subscription, 1), start) == [4]


async def test_filters_apply_to_a_subscription(store: EventStore) -> None:
    for number in range(6):
        await store.append(f"{'ab'[number % 2]}/1", [NewEvent("XYZ"[number % 3], number)])
    assert data(await take(store.subscribe_changes(streams="a/"), 3)) == [0, 2, 4]
    assert data(await take(store.subscribe_changes(types={"Y"}), 2)) == [1, 4]
    assert data(await take(store.subscribe_changes(streams="b/1", types=["X", "Z"]), 2)) == [3, 5]


async def test_a_filtered_follower_advances_past_what_does_not_match(
    store: EventStore, start: int
) -> None:
    async with store.subscribe_changes(after=start, streams="quiet/") as subscription:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(take, subscription, 1)
            for _ in range(5):
                await store.append("loud/1", some(10))
            await signalled(
                store.feed.waiting,
                lambda: subscription.position == start + 50 and subscription.caught_up,
            )
            assert subscription.cursor == (await store.head()).cursor
            await store.append("quiet/1", some(1))
        assert subscription.position == start + 51


async def test_it_knows_when_it_has_caught_up(store: EventStore, start: int) -> None:
    await store.append("a/1", some(2))
    subscription = store.subscribe_changes(after=start)
    seen = []
    for _ in range(2):
        seen.append(subscription.caught_up)
        await anext(subscription)
    assert [*seen, subscription.caught_up] == [False, False, True]


async def test_more_than_a_page_is_followed_without_a_gap(store: EventStore, start: int) -> None:
    count = 2 * PAGE_EVENTS + 5
    await store.append("a/1", some(count))
    assert positions(await take(store.subscribe_changes(after=start), count), start) == list(
        range(1, count + 1)
    )


async def test_closing_ends_a_reader_that_waits(store: EventStore) -> None:
    subscription = store.subscribe_changes()
    ended = anyio.Event()

    async def follow() -> None:
        async for _ in subscription:
            pass
        ended.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        await anyio.wait_all_tasks_blocked()
        await subscription.aclose()
        with anyio.fail_after(DEADLINE):
            await ended.wait()


async def test_a_closed_subscription_gives_out_nothing_more(store: EventStore) -> None:
    await store.append("a/1", some(3))
    subscription = store.subscribe_changes()
    await anext(subscription)
    await subscription.aclose()
    await subscription.aclose()
    assert await collect(subscription) == []


async def test_closing_the_store_tells_a_follower_that_waits(url: str) -> None:
    async with anyio.create_task_group() as tasks:
        async with EventStore.open(url, poll=3600) as store:
            told = anyio.Event()

            async def follow(subscription: Subscription) -> None:
                with pytest.raises(StoreClosedError):
                    await take(subscription, 1)
                told.set()

            tasks.start_soon(follow, store.subscribe_changes())
            await anyio.wait_all_tasks_blocked()
        with anyio.fail_after(DEADLINE):
            await told.wait()


async def test_a_cancelled_follower_goes_on_where_it_was(store: EventStore, start: int) -> None:
    subscription = store.subscribe_changes(after=start)
    await store.append("a/1", some(2))
    assert positions(await take(subscription, 2), start) == [1, 2]
    with anyio.move_on_after(0.01):
        await anext(subscription)
    await store.append("a/1", some(2))
    assert positions(await take(subscription, 2), start) == [3, 4]


async def test_two_tasks_never_get_one_event_twice_without_being_told(store: EventStore) -> None:
    await store.append("a/1", some(3))
    subscription, seen = store.subscribe_changes(), list[int]()
    refused: list[Exception] = []

    async def next_one() -> None:
        try:
            seen.append((await anext(subscription)).position)
        except Exception as error:
            refused.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(next_one)
    assert len(set(seen)) == len(seen)
    assert all(isinstance(error, InvalidInputError) for error in refused)


async def test_an_idle_follower_lets_the_writer_go_on(store: EventStore, start: int) -> None:
    subscription = store.subscribe_changes(after=start)
    await store.append("a/1", some(1))
    assert positions(await take(subscription, 1), start) == [1]
    for _ in range(50):
        await store.append("a/1", some(100))
    assert positions(await take(subscription, 5000), start) == list(range(2, 5002))


@pytest.mark.promise("slow-follower")
async def test_a_follower_keeps_a_page_at_most(store: EventStore) -> None:
    await store.append("a/1", some(3 * PAGE_EVENTS))
    subscription = store.subscribe_changes()
    await anext(subscription)
    assert len(subscription._events) <= PAGE_EVENTS


@pytest.mark.promise("slow-follower")
async def test_a_page_of_large_events_stays_within_its_bytes(store: EventStore, start: int) -> None:
    one = bytes(1024 * 1024)
    for _ in range(4):
        await store.append("a/1", [NewEvent("T", one) for _ in range(8)])
    subscription = store.subscribe_changes(after=start)
    await anext(subscription)
    held = sum(len(event.raw_data or b"") for event in subscription._events)
    assert held <= 9 * len(one)
    assert positions(await take(subscription, 31), start) == list(range(2, 33))
