"""Named followers that mark each event as done by itself, in any order."""

import pytest
from support.logs import positions, some
from support.waiting import take

from eventstore import EventStore, InvalidInputError

pytestmark = pytest.mark.anyio


async def checkpoint(store: EventStore) -> int:
    return next(state.cursor.position for state in await store.consumers() if state.name == "w")


@pytest.mark.promise("subscription")
async def test_the_checkpoint_stays_before_the_oldest_event_that_is_not_done(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(4))
    async with store.subscribe_changes(
        after=start, consumer="w", explicit_ack=True
    ) as subscription:
        events = await take(subscription, 4)
        for event in (events[1], events[3]):
            await subscription.ack(event)
        await subscription.ack(events[0], flush=True)
        assert await checkpoint(store) == start + 2
    async with store.subscribe_changes(consumer="w", explicit_ack=True) as again:
        assert positions(await take(again, 2), start) == [3, 4]
        await again.ack(flush=True)
        assert await checkpoint(store) == start + 4


async def test_events_that_do_not_match_are_passed_only_behind_what_is_done(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(1))
    await store.append("b/1", some(5))
    async with store.subscribe_changes(
        after=start, consumer="w", explicit_ack=True, streams="a/", follow=False
    ) as subscription:
        (event,) = [one async for one in subscription]
        await subscription.ack(event, flush=True)
        assert await checkpoint(store) == start + 6


async def test_whole_commits_are_done_by_their_cursors(store: EventStore, start: int) -> None:
    await store.append("a/1", some(2))
    await store.append("a/1", some(2))
    async with store.subscribe_changes(
        after=start, consumer="w", explicit_ack=True, follow=False
    ) as subscription:
        cursors = [cursor async for cursor, _ in subscription.commits()]
        await subscription.ack(cursors[1])
        await subscription.ack(cursors[0], flush=True)
        assert await checkpoint(store) == start + 4


async def test_what_cannot_be_marked_is_refused(store: EventStore, start: int) -> None:
    await store.append("a/1", some(2))
    with pytest.raises(InvalidInputError, match="give consumer="):
        store.subscribe_changes(explicit_ack=True)
    async with store.subscribe_changes(after=start, consumer="w") as subscription:
        (event,) = await take(subscription, 1)
        with pytest.raises(InvalidInputError, match="explicit_ack=True"):
            await subscription.ack(event)
