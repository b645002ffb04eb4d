"""Named followers: the log keeps their cursor, and the newest opener owns the name."""

import anyio
import pytest
from support.consumers import assert_lost, stored
from support.logs import positions, some
from support.waiting import DEADLINE, collect, eventually, signalled, take

from eventstore import END, EventStore, InvalidInputError, Subscription, TakenOverError
from eventstore.changes.rejections import rejection_stream
from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio


@pytest.fixture
def stored_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store progress only with what is written anyway: its timer may end on a slow machine."""
    monkeypatch.setattr("eventstore.store._write_queue.ACK_SECONDS", 3_600.0)


async def following(store: EventStore, count: int, start: int) -> Subscription:
    """Return a subscription of a consumer that has taken so many events."""
    subscription = store.subscribe_changes(after=start, consumer="w")
    await take(subscription, count)
    return subscription


async def test_asking_for_the_next_event_stores_the_one_before_soon(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(3))
    subscription = store.subscribe_changes(after=start, consumer="w")
    await take(subscription, 3)

    await store.wait_applied(start + 2, ["w"])
    assert (await stored(store)).cursor.position == start + 2


async def test_a_flush_has_stored_the_cursor_when_it_returns(store: EventStore, start: int) -> None:
    done = await store.append("a/1", some(3))
    subscription = await following(store, 3, start)
    await subscription.ack(flush=True)
    assert (await stored(store)).cursor == done.cursor


async def test_after_only_says_where_a_new_name_begins(store: EventStore, start: int) -> None:
    await store.append("a/1", some(3))
    async with store.subscribe_changes(consumer="w", after=END) as subscription:
        assert subscription.position == start + 3
    await store.append("a/1", some(1))
    async with store.subscribe_changes(consumer="w", after=start) as subscription:
        assert positions(await take(subscription, 1), start) == [4]


async def test_a_filtered_consumer_on_a_quiet_stream_advances(
    store: EventStore, start: int
) -> None:
    subscription = store.subscribe_changes(after=start, consumer="w", streams="quiet/")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(collect, subscription)
        await store.append("loud/1", some(20))

        await store.wait_applied(start + 20, ["w"])
        assert (await stored(store)).cursor.position == start + 20
        await subscription.aclose()


@pytest.mark.usefixtures("stored_late")
async def test_the_newest_opener_owns_the_name(store: EventStore, start: int) -> None:
    await store.append("a/1", some(2))
    first = await following(store, 2, start)
    async with store.subscribe_changes(after=start, consumer="w") as second:
        await store.append("a/1", some(1))
        with pytest.raises(TakenOverError) as caught:
            await take(first, 1)
        assert caught.value.name == "w"
        assert positions(await take(second, 2), start) == [1, 2]


async def test_a_waiting_owner_learns_that_it_lost_the_name(url: str) -> None:
    async with EventStore.open(url, poll=0.02) as store, anyio.create_task_group() as tasks:
        first = store.subscribe_changes(consumer="w")

        async def follow() -> None:
            with pytest.raises(TakenOverError):
                await take(first, 1)

        tasks.start_soon(follow)
        await signalled(store.feed.waiting, lambda: first.caught_up)
        async with store.subscribe_changes(consumer="w"):
            pass


@pytest.mark.usefixtures("stored_late")
async def test_a_lost_owner_cannot_move_the_cursor(store: EventStore, start: int) -> None:
    await store.append("a/1", some(3))
    first = await following(store, 3, start)
    second = await following(store, 1, start)
    await second.ack(flush=True)
    await assert_lost(first, TakenOverError)
    assert (await stored(store)).cursor.position == start + 1


async def test_a_lost_owner_s_close_leaves_the_new_one_s_progress(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(3))
    first = await following(store, 1, start)
    await first.ack(flush=True)
    second = await following(store, 2, start)
    await second.ack()
    await first.aclose()

    await store.wait_applied(start + 3, ["w"], timeout=DEADLINE)
    assert (await stored(store)).cursor.position == start + 3


async def test_consumers_do_not_disturb_each_other(store: EventStore, start: int) -> None:
    await store.append("a/1", some(4))
    for name, count in (("a", 1), ("b", 4), ("c", 2)):
        subscription = store.subscribe_changes(after=start, consumer=name)
        await take(subscription, count)
        await subscription.ack(flush=True)
    states = await store.consumers()
    assert [(s.name, s.cursor.position - start) for s in states] == [("a", 1), ("b", 4), ("c", 2)]


async def test_a_consumer_of_commits_is_moved_by_whole_commits(
    store: EventStore, start: int
) -> None:
    for _ in range(3):
        await store.append("a/1", some(2))
    async with store.subscribe_changes(after=start, consumer="w") as subscription:
        await take(subscription.commits(), 2)
    assert (await stored(store)).cursor.position == start + 2


async def test_status_tells_lag_owner_and_time(
    store: EventStore, clock: FakeClock, start: int
) -> None:
    await store.append("a/1", some(5))
    async with store.subscribe_changes(after=start, consumer="w") as subscription:
        await take(subscription, 2)
        await subscription.ack(flush=True)
        clock.now_us += 3_000_000
        (facts,) = (await store.status())["consumers"]
    assert (facts["name"], facts["position"], facts["lag"]) == ("w", start + 2, 3)
    assert (facts["seen_seconds_ago"], facts["owner"]) == (3.0, store.owner)


async def test_a_rejection_is_recorded_once_whatever_its_reason(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(1))
    subscription = store.subscribe_changes(after=start, consumer="w", streams="a/")
    (event,) = await take(subscription, 1)
    for reason in ("bad", "bad", "bad at 0x7f"):
        await subscription.reject(event, reason)
    (recorded,) = await collect(store.read(after=start, types={"ChangeRejected"}))
    assert recorded.stream == "consumer/w"
    assert recorded.data == {
        "consumer": "w",
        "position": event.position,
        "stream": "a/1",
        "reason": "bad",
    }


@pytest.mark.parametrize("name", ["x" * 255, "é" * 127, "a/b", "a/"])
@pytest.mark.any_past
async def test_every_allowed_consumer_name_may_reject(store: EventStore, name: str) -> None:
    await store.append("a/1", some(1))
    for consumer in (name, name[:-1] + "y"):
        subscription = store.subscribe_changes(consumer=consumer, streams="a/")
        (event,) = await take(subscription, 1)
        await subscription.reject(event, "bad")
    assert len(await collect(store.read(types={"ChangeRejected"}))) == 2


ALIKE = (
    "w",
    "w/",
    "w//",
    "w/w",
    "W",
    "é",
    "e\u0301",
    "w%2F",
    "%77",
    "~sha256:" + "0" * 64,
    "/",
    "//",
)


async def test_names_that_look_alike_share_nothing(store: EventStore, start: int) -> None:
    taken = {rejection_stream(name) for name in ALIKE}
    taken |= {rejection_stream(stream.removeprefix("consumer/")) for stream in sorted(taken)}
    extra = sum(name.endswith("/") or name.startswith("~") for name in ALIKE)
    assert len(taken) == len(ALIKE) + extra
    await store.append("a/1", some(1))
    followers = {
        name: store.subscribe_changes(after=start, consumer=name, streams="a/") for name in ALIKE
    }
    for number, follower in enumerate(followers.values()):
        (event,) = await take(follower, 1)
        await follower.reject(event, f"{number}")
        if number % 2:
            await follower.ack(flush=True)
    for number, name in enumerate(ALIKE):
        (told,) = await collect(store.read_stream(rejection_stream(name)))
        assert (told.data["consumer"], told.data["reason"]) == (name, f"{number}")
        assert (await stored(store, name)).cursor.position == start + number % 2


async def reached(store: EventStore, position: int) -> bool:
    return (await store.head()).position >= position


@pytest.mark.parametrize("names", [["w"], ["w1", "w2"], ["w", "w/", "W"]])
async def test_rejecting_everything_ends(store: EventStore, names: list[str], start: int) -> None:
    async def reject_all(name: str) -> None:
        async for event in (changes := store.subscribe_changes(after=start, consumer=name)):
            await changes.reject(event, "unknown")

    await store.append("a/1", some(2))
    async with anyio.create_task_group() as tasks:
        for name in names:
            tasks.start_soon(reject_all, name)
        # Each of the two is rejected once by each name, and then each has seen all of these.
        count = start + 2 + 2 * len(names)
        await eventually(lambda: reached(store, count))
        await store.wait_applied(count, names, timeout=DEADLINE)
        tasks.cancel_scope.cancel()
    assert (await store.head()).position == count


async def test_an_event_that_a_subscription_has_not_come_to_is_not_rejected(
    store: EventStore,
) -> None:
    await store.append("a/1", some(3))
    ahead = (await collect(store.read()))[-1]
    async with store.subscribe_changes(consumer="w") as subscription:
        await take(subscription, 1)
        with pytest.raises(InvalidInputError, match="has come to"):
            await subscription.reject(ahead, "of another log, or of one that grew otherwise")
    assert await collect(store.read(types={"ChangeRejected"})) == []


async def test_only_a_named_consumer_may_reject(store: EventStore) -> None:
    await store.append("a/1", some(1))
    subscription = store.subscribe_changes()
    (event,) = await take(subscription, 1)
    with pytest.raises(InvalidInputError):
        await subscription.reject(event, "bad")
