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


@pytest.mark.from_one
async def test_commits_come_whole_with_the_cursor_of_their_end(store: EventStore) -> None:
    ends = [(await store.append("a/1", some(count))).cursor for count in (1, 3, 2)]
    items = await take(store.subscribe_changes().commits(), 3)
    assert [cursor for cursor, _ in items] == ends
    assert [positions(events) for _, events in items] == [[1], [2, 3, 4], [5, 6]]


@pytest.mark.from_one
async def test_a_commit_larger_than_a_page_is_one_item(store: EventStore) -> None:
    await store.append("a/1", some(5))
    await store.append("a/1", some(2 * PAGE_EVENTS))
    await store.append("a/1", some(1))
    items = await take(store.subscribe_changes().commits(), 3)
    assert [len(events) for _, events in items] == [5, 2 * PAGE_EVENTS, 1]


@pytest.mark.promise("subscription")
@pytest.mark.from_one
async def test_pages_that_end_inside_commits_cut_none(store: EventStore) -> None:
    for _ in range(PAGE_EVENTS // 3 + 10):
        await store.append("a/1", some(7))
    items = await take(store.subscribe_changes().commits(), PAGE_EVENTS // 3 + 10)
    assert {len(events) for _, events in items} == {7}


@pytest.mark.from_one
async def test_a_filter_that_hides_the_last_event_keeps_the_commit_s_cursor(
    store: EventStore,
) -> None:
    ends = []
    for _ in range(3):
        done = await store.append_many([StreamWrite("a/1", some(2)), StreamWrite("b/1", some(1))])
        ends.append(done.cursor)
    items = await take(store.subscribe_changes(streams="a/").commits(), 3)
    assert [cursor for cursor, _ in items] == ends
    assert [positions(events) for _, events in items] == [[1, 2], [4, 5], [7, 8]]


@pytest.mark.from_one
async def test_a_commit_without_a_match_is_passed_over(store: EventStore) -> None:
    await store.append("a/1", some(2))
    await store.append("b/1", some(2))
    await store.append("a/1", some(1))
    items = await take(store.subscribe_changes(streams="a/").commits(), 2)
    assert [positions(events) for _, events in items] == [[1, 2], [5]]


@pytest.mark.from_one
async def test_single_events_then_commits_gives_the_rest_of_the_commit(
    store: EventStore,
) -> None:
    await store.append("a/1", some(3))
    await store.append("a/1", some(2))
    subscription = store.subscribe_changes()
    await anext(subscription)
    items = await take(subscription.commits(), 2)
    assert [positions(events) for _, events in items] == [[2, 3], [4, 5]]


@pytest.mark.from_one
async def test_a_commit_s_cursor_resumes_at_the_next_commit(store: EventStore) -> None:
    for _ in range(4):
        await store.append_many([StreamWrite("a/1", some(2)), StreamWrite("b/1", some(1))])
    cursor: Cursor | int = 0
    seen: list[Event] = []
    for _ in range(4):
        async with store.subscribe_changes(after=cursor, streams="a/") as subscription:
            ((cursor, events),) = await take(subscription.commits(), 1)
            seen += events
    assert positions(seen) == [1, 2, 4, 5, 7, 8, 10, 11]


@pytest.mark.parametrize("streams", [None, "a/", "b/1", "c/"])
@pytest.mark.from_one
async def test_a_page_of_whole_commits_never_passes_until(
    store: EventStore, streams: str | None
) -> None:
    for _ in range(2):
        await store.append_many([StreamWrite("a/1", some(3)), StreamWrite("b/1", some(2))])
    everything = await collect(store.read(streams=streams))
    for until, limit in product(range(11), (1, 2, 4, 100)):
        at, seen = 0, list[int]()
        for _ in range(3):
            page = await store.feed.page(
                Query(after=at, until=until, streams=streams, limit=limit, whole_commits=True)
            )
            assert page.through.position % 5 == 0
            seen += positions(page.events)
            at = page.through.position
        assert at == until // 5 * 5
        assert seen == [event.position for event in everything if event.commit <= until]


@pytest.mark.parametrize("streams", [None, "a/", "a/1"])
@pytest.mark.from_one
async def test_a_commit_of_many_pages_comes_whole(
    store: EventStore, streams: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "PAGE_BYTES", 500)
    await store.append("a/1", [NewEvent("Large", bytes([number]) * 300) for number in range(6)])
    await store.append("a/1", [NewEvent("Small", 1)])
    subscription = store.subscribe_changes(streams=streams, follow=False)
    commits = [[event.position for event in events] async for _, events in subscription.commits()]
    assert commits == [[1, 2, 3, 4, 5, 6], [7]]
