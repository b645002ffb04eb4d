"""Whole commits: never cut, wherever pages end and for any filter."""

from itertools import product

import pytest
from support.logs import positions, some
from support.waiting import collect, take

from eventstore import Cursor, Event, EventStore, NewEvent, StreamWrite
from eventstore.changes._page_cache import PAGE_EVENTS
from eventstore.log.operations import Query
from eventstore.storage import reading

pytestmark = pytest.mark.anyio


async def test_commits_come_whole_with_the_cursor_of_their_end(
    store: EventStore, start: int
) -> None:
    ends = [(await store.append("a/1", some(count))).cursor for count in (1, 3, 2)]
    items = await take(store.subscribe_changes(after=start).commits(), 3)
    assert [cursor for cursor, _ in items] == ends
    assert [positions(events, start) for _, events in items] == [[1], [2, 3, 4], [5, 6]]


async def test_a_commit_larger_than_a_page_is_one_item(store: EventStore, start: int) -> None:
    await store.append("a/1", some(5))
    await store.append("a/1", some(2 * PAGE_EVENTS))
    await store.append("a/1", some(1))
    items = await take(store.subscribe_changes(after=start).commits(), 3)
    assert [len(events) for _, events in items] == [5, 2 * PAGE_EVENTS, 1]


@pytest.mark.promise("subscription")
async def test_pages_that_end_inside_commits_cut_none(store: EventStore, start: int) -> None:
    for _ in range(PAGE_EVENTS // 3 + 10):
        await store.append("a/1", some(7))
    items = await take(store.subscribe_changes(after=start).commits(), PAGE_EVENTS // 3 + 10)
    assert {len(events) for _, events in items} == {7}


async def test_a_filter_that_hides_the_last_event_keeps_the_commit_s_cursor(
    store: EventStore, start: int
) -> None:
    ends = []
    for _ in range(3):
        done = await store.append_many([StreamWrite("a/1", some(2)), StreamWrite("b/1", some(1))])
        ends.append(done.cursor)
    items = await take(store.subscribe_changes(after=start, streams="a/").commits(), 3)
    assert [cursor for cursor, _ in items] == ends
    assert [positions(events, start) for _, events in items] == [[1, 2], [4, 5], [7, 8]]


async def test_a_commit_without_a_match_is_passed_over(store: EventStore, start: int) -> None:
    await store.append("a/1", some(2))
    await store.append("b/1", some(2))
    await store.append("a/1", some(1))
    items = await take(store.subscribe_changes(after=start, streams="a/").commits(), 2)
    assert [positions(events, start) for _, events in items] == [[1, 2], [5]]


async def test_single_events_then_commits_gives_the_rest_of_the_commit(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(3))
    await store.append("a/1", some(2))
    subscription = store.subscribe_changes(after=start)
    await anext(subscription)
    items = await take(subscription.commits(), 2)
    assert [positions(events, start) for _, events in items] == [[2, 3], [4, 5]]


async def test_a_commit_s_cursor_resumes_at_the_next_commit(store: EventStore, start: int) -> None:
    for _ in range(4):
        await store.append_many([StreamWrite("a/1", some(2)), StreamWrite("b/1", some(1))])
    cursor: Cursor | int = start
    seen: list[Event] = []
    for _ in range(4):
        async with store.subscribe_changes(after=cursor, streams="a/") as subscription:
            ((cursor, events),) = await take(subscription.commits(), 1)
            seen += events
    assert positions(seen, start) == [1, 2, 4, 5, 7, 8, 10, 11]


@pytest.mark.parametrize("streams", [None, "a/", "b/1", "c/"])
async def test_a_page_of_whole_commits_never_passes_until(
    store: EventStore, streams: str | None, start: int
) -> None:
    for _ in range(2):
        await store.append_many([StreamWrite("a/1", some(3)), StreamWrite("b/1", some(2))])
    everything = await collect(store.read(after=start, streams=streams))
    for until, limit in product(range(11), (1, 2, 4, 100)):
        at, seen = start, list[int]()
        for _ in range(3):
            page = await store.feed.page(
                Query(
                    after=at,
                    until=start + until,
                    streams=streams,
                    limit=limit,
                    whole_commits=True,
                )
            )
            assert (page.through.position - start) % 5 == 0
            seen += positions(page.events, start)
            at = page.through.position
        assert at == start + until // 5 * 5
        assert seen == positions(
            (event for event in everything if event.commit <= start + until), start
        )


@pytest.mark.parametrize("streams", [None, "a/", "a/1"])
async def test_a_commit_of_many_pages_comes_whole(
    store: EventStore, streams: str | None, monkeypatch: pytest.MonkeyPatch, start: int
) -> None:
    monkeypatch.setattr(reading, "PAGE_BYTES", 500)
    await store.append("a/1", [NewEvent("Large", bytes([number]) * 300) for number in range(6)])
    await store.append("a/1", [NewEvent("Small", 1)])
    subscription = store.subscribe_changes(after=start, streams=streams, follow=False)
    commits = [positions(events, start) async for _, events in subscription.commits()]
    assert commits == [[1, 2, 3, 4, 5, 6], [7]]
