"""Named consumers are listed, removed and rewound, also while they are open."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.consumers import assert_lost, stored
from support.logs import positions, some
from support.waiting import DEADLINE, signalled, take

from eventstore import END, Cursor, EventStore, errors
from eventstore.log.events import OLDEST, Special
from eventstore.log.operations import RemoveConsumer

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import Subscription

pytestmark = [pytest.mark.anyio, pytest.mark.promise("consumers")]


async def names(store: EventStore) -> list[str]:
    """Return the names of all consumers."""
    return [state.name for state in await store.consumers()]


async def opened(
    store: EventStore, done: int, name: str = "w", *, start: int | Special = OLDEST
) -> Subscription:
    """Return an open subscription whose consumer has done so many events after ``start``."""
    subscription = await store.subscribe_changes(consumer=name, after=start).__aenter__()
    await take(subscription, done)
    await subscription.ack(flush=True)
    return subscription


async def test_a_removed_consumer_holds_back_neither_a_trim_nor_a_wait(
    store: EventStore, tmp_path: Path, start: int
) -> None:
    await store.append("a/1", some(3))
    await store.append("a/1", some(1))
    await (await opened(store, 1, "dead", start=start)).aclose()
    await (await opened(store, 4, "alive", start=start)).aclose()
    with pytest.raises(errors.HistoryHeldError, match="eventstore consumers remove"):
        await store.trim(start + 4, archive=tmp_path / "one")

    removed = await store.remove_consumer("dead")

    assert (removed.name, removed.cursor.position, removed.owner) == (
        "dead",
        start + 1,
        store.owner,
    )
    assert await names(store) == ["alive"]
    assert [state.name for state in await store.wait_applied(start + 4, timeout=DEADLINE)] == [
        "alive"
    ]
    assert (await store.trim(start + 4, archive=tmp_path / "two")).first_position == start + 4


async def test_a_waiting_subscription_learns_that_its_consumer_was_removed(
    url: str,
) -> None:
    async with EventStore.open(url, poll=0.02) as store, anyio.create_task_group() as tasks:
        subscription = store.subscribe_changes(consumer="w")

        async def follow() -> None:
            with pytest.raises(errors.ConsumerRemovedError) as caught:
                await take(subscription, 1)
            assert isinstance(caught.value, errors.TakenOverError)
            assert str(caught.value) == "consumer 'w' was removed: open it again to begin anew"

        tasks.start_soon(follow)
        await signalled(store.feed.waiting, lambda: subscription.caught_up)
        await store.remove_consumer("w")


async def test_a_late_acknowledgement_does_not_bring_a_removed_consumer_back(
    store: EventStore,
) -> None:
    await store.append("a/1", some(3))
    subscription = await opened(store, 1)
    await take(subscription, 1)
    await store.remove_consumer("w")
    await assert_lost(subscription, errors.ConsumerRemovedError)
    await store.append("a/1", some(1))
    assert await names(store) == []


async def test_a_removal_from_another_process_ends_the_owner(lasting_url: str) -> None:
    async with EventStore.open(lasting_url, poll=0.02) as one, EventStore.open(lasting_url) as two:
        await one.append("a/1", some(2))
        subscription = await opened(one, 1)
        await two.remove_consumer("w")
        await two.append("a/1", some(1))
        with pytest.raises(errors.ConsumerRemovedError):
            await take(subscription, 3)
        await subscription.aclose()
        assert await names(one) == await names(two) == []


async def test_a_name_that_was_removed_and_begun_anew_is_another_consumer(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(4))
    old = await opened(store, 3, start=start)
    await store.remove_consumer("w")
    new = await opened(store, 1, start=start)
    await take(old, 1)  # From the page that it had read before.
    await assert_lost(old, errors.TakenOverError)
    assert (await stored(store)).cursor.position == start + 1
    assert positions(await take(new, 1), start) == [2]


async def test_a_removed_consumer_begins_anew_where_it_is_told_to(
    store: EventStore, start: int
) -> None:
    done = await store.append("a/1", some(5))
    await (await opened(store, 4, start=start)).aclose()
    await store.remove_consumer("w")
    async with store.subscribe_changes(consumer="w", after=start + 2) as subscription:
        assert positions(await take(subscription, 1), start) == [3]
    await store.remove_consumer("w")
    async with store.subscribe_changes(consumer="w", after=END) as subscription:
        assert subscription.position == done.position


async def test_a_name_that_is_not_known_is_an_error_with_the_nearest_one(
    store: EventStore,
) -> None:
    for call in (store.remove_consumer("wroker-1"), store.rewind_consumer("wroker-1", to=0)):
        with pytest.raises(errors.UnknownConsumerError) as caught:
            await call
        assert (caught.value.name, caught.value.nearest) == ("wroker-1", "")
    for name in ("worker-1", "queue"):
        await (await opened(store, 0, name)).aclose()
    with pytest.raises(errors.UnknownConsumerError, match="the nearest known name is 'worker-1'"):
        await store.remove_consumer("wroker-1")
    assert await names(store) == ["queue", "worker-1"]


@pytest.mark.parametrize("name", ["a\x07b", "\x1b[31m", "", "x" * 256, "\ud800", None, 5])
@pytest.mark.any_past
async def test_a_name_that_no_consumer_can_have_is_refused(store: EventStore, name: Any) -> None:
    with pytest.raises(errors.InvalidInputError):
        await store.remove_consumer(name)
    with pytest.raises(errors.InvalidInputError):
        await store.rewind_consumer(name, to=0)


@pytest.mark.parametrize("name", ["-dash", "--to", "a/b", "é ü", "100%", "'; DROP TABLE head"])
@pytest.mark.any_past
async def test_a_name_may_look_like_something_else(
    store: EventStore, name: str, start: int
) -> None:
    await store.append("a/1", some(2))
    await (await opened(store, 2, name, start=start)).aclose()
    assert (await store.rewind_consumer(name, to=start + 1)).cursor.position == start + 1
    assert (await store.remove_consumer(name)).cursor.position == start + 1
    assert await names(store) == []


async def test_a_rewound_consumer_gets_the_events_again(store: EventStore, start: int) -> None:
    await store.append("a/1", some(5))
    await (await opened(store, 5, start=start)).aclose()
    before = await stored(store)
    rewound = await store.rewind_consumer("w", to=start + 2)
    assert rewound == await stored(store)
    assert (rewound.cursor.position, rewound.epoch) == (start + 2, before.epoch + 1)
    async with store.subscribe_changes(after=start, consumer="w", follow=False) as subscription:
        assert positions([event async for event in subscription], start) == [3, 4, 5]


async def test_a_consumer_may_be_rewound_to_a_cursor_and_to_where_it_is(
    store: EventStore, start: int
) -> None:
    done = await store.append("a/1", some(2))
    await store.append("a/1", some(2))
    await (await opened(store, 4, start=start)).aclose()
    assert (await store.rewind_consumer("w", to=done.cursor)).cursor == done.cursor
    assert (await store.rewind_consumer("w", to=start + 2)).cursor == done.cursor
    assert (await store.rewind_consumer("w", to=start)).cursor.position == start
    async with store.subscribe_changes(after=start, consumer="w") as subscription:
        assert positions(await take(subscription, 1), start) == [1]


async def test_the_owner_of_a_rewound_consumer_loses_it_and_cannot_undo_the_rewind(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(3))
    subscription = await opened(store, 2, start=start)
    await take(subscription, 1)
    await subscription.ack()
    await store.rewind_consumer("w", to=start)
    await assert_lost(subscription, errors.TakenOverError)
    await store.append("a/1", some(1))
    assert (await stored(store)).cursor.position == start


@pytest.mark.parametrize("to", [3, 4, 10**30])
async def test_a_rewind_does_not_go_forwards(store: EventStore, to: int, start: int) -> None:
    await store.append("a/1", some(3))
    await (await opened(store, 2, start=start)).aclose()
    with pytest.raises(errors.InvalidInputError, match="a rewind goes back"):
        await store.rewind_consumer("w", to=start + to)
    assert (await stored(store)).cursor.position == start + 2


@pytest.mark.parametrize("to", [-1, True, "1", None, END, 1.0])
@pytest.mark.any_past
async def test_a_rewind_to_no_position_is_refused(store: EventStore, to: Any) -> None:
    await (await opened(store, 0)).aclose()
    with pytest.raises(errors.InvalidInputError):
        await store.rewind_consumer("w", to=to)


async def test_a_rewind_to_another_history_is_refused(store: EventStore, start: int) -> None:
    done = await store.append("a/1", some(3))
    await (await opened(store, 3, start=start)).aclose()
    for other in (
        Cursor("another", start + 2, b"x" * 32),
        Cursor(done.cursor.log_id, start + 2, b"x" * 32),
    ):
        with pytest.raises(errors.HistoryDivergedError):
            await store.rewind_consumer("w", to=other)
    assert (await stored(store)).cursor == done.cursor


async def test_a_rewind_below_the_first_position_says_how_far_it_may_go(
    store: EventStore, tmp_path: Path, start: int
) -> None:
    for _ in range(4):
        await store.append("a/1", some(1))
    await (await opened(store, 4, start=start)).aclose()
    await store.trim(start + 3, archive=tmp_path / "archive")
    with pytest.raises(
        errors.HistoryGoneError, match=f"rewind the consumer to {start + 2} at the earliest"
    ):
        await store.rewind_consumer("w", to=start)
    assert (await store.rewind_consumer("w", to=start + 2)).cursor.position == start + 2
    async with store.subscribe_changes(after=start, consumer="w") as subscription:
        assert positions(await take(subscription, 2), start) == [3, 4]


async def test_a_consumer_below_the_first_position_can_be_moved_on_to_it(
    store: EventStore, tmp_path: Path, start: int
) -> None:
    for _ in range(4):
        await store.append("a/1", some(1))
    await (await opened(store, 1, start=start)).aclose()
    await store.trim(start + 4, archive=tmp_path / "archive", force=True)
    with pytest.raises(errors.HistoryGoneError):
        await store.rewind_consumer("w", to=start)
    with pytest.raises(errors.InvalidInputError):
        await store.rewind_consumer("w", to=start + 4)
    await store.rewind_consumer("w", to=start + 3)
    async with store.subscribe_changes(after=start, consumer="w") as subscription:
        assert positions(await take(subscription, 1), start) == [4]


async def test_a_wait_for_everyone_goes_on_without_one_that_is_removed(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(2))
    await (await opened(store, 2, "alive", start=start)).aclose()
    await (await opened(store, 1, "dead", start=start)).aclose()
    async with anyio.create_task_group() as tasks:

        async def wait() -> None:
            states = await store.wait_applied(start + 2, timeout=DEADLINE)
            assert [state.name for state in states] == ["alive"]

        tasks.start_soon(wait)
        await anyio.wait_all_tasks_blocked()
        await store.remove_consumer("dead")


async def test_opening_and_removing_at_once_leave_a_consumer_or_none(url: str) -> None:
    async with EventStore.open(url, poll=0.02) as store:
        await store.append("a/1", some(5))
        got: list[int] = []

        async def open_often() -> None:
            for _ in range(8):
                with suppress(errors.TakenOverError):
                    async with store.subscribe_changes(consumer="w", follow=False) as subscription:
                        got.extend(positions([event async for event in subscription]))

        async def remove_often() -> None:
            for _ in range(12):
                with suppress(errors.UnknownConsumerError):
                    await store.remove_consumer("w")

        async with anyio.create_task_group() as tasks:
            for work in (open_often, remove_often, open_often):
                tasks.start_soon(work)
        assert set(got) <= {1, 2, 3, 4, 5}
        assert await names(store) in ([], ["w"])
        async with store.subscribe_changes(consumer="w", follow=False):
            pass
        await store.remove_consumer("w")
        assert await names(store) == []


async def test_a_removal_whose_answer_was_lost_is_found_by_the_second_try(
    store: EventStore,
) -> None:
    await (await opened(store, 0)).aclose()
    operation = RemoveConsumer("w")
    for _ in range(2):
        (outcome,) = store._backend.write([operation])
        assert outcome is not None
        assert getattr(outcome, "name", None) == "w"
    assert await names(store) == []


async def test_status_shows_those_that_are_furthest_behind_and_counts_all(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(15))
    for done in range(15):
        await (await opened(store, done, f"w{done:02}", start=start)).aclose()
    facts = await store.status()
    assert facts["consumer_count"] == 15
    assert [one["name"] for one in facts["consumers"]] == [f"w{n:02}" for n in range(10)]
    assert [one["lag"] for one in facts["consumers"]] == list(range(15, 5, -1))
    assert len((await store.status(consumers=None))["consumers"]) == 15
    assert len((await store.status(consumers=2))["consumers"]) == 2
    facts = await store.status(consumers=2, among=4)
    assert (facts["consumer_count"], facts["more_consumers"]) == (4, True)
    assert [one["name"] for one in facts["consumers"]] == ["w00", "w01"]
    assert "more_consumers" not in await store.status(consumers=2, among=15)
