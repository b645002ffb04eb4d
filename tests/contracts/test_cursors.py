"""Cursors: resuming, and noticing that a history is another one."""

import pytest
from support.logs import positions, some
from support.waiting import collect, take

from eventstore import Cursor, EventStore, HistoryDivergedError, InvalidInputError

pytestmark = pytest.mark.anyio


async def test_reading_goes_on_after_a_cursor(store: EventStore, start: int) -> None:
    done = await store.append("a/1", some(2))
    await store.append("a/1", some(2))
    assert done.cursor is not None
    assert positions(await collect(store.read(after=done.cursor)), start) == [3, 4]
    assert positions(await collect(store.read(after=start, until=done.cursor)), start) == [1, 2]


async def test_a_cursor_survives_being_written_down(store: EventStore) -> None:
    await store.append("a/1", some(2))
    cursor = (await store.head()).cursor
    assert Cursor.parse(str(cursor)) == cursor


@pytest.mark.parametrize("text", ["", "a", "a:b:c", "a:1", "a:1:zz", "a:1:00:00", "a::"])
def test_text_that_is_no_cursor_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError):
        Cursor.parse(text)


async def test_a_position_beyond_the_head_is_another_history(store: EventStore, start: int) -> None:
    await store.append("a/1", some(2))
    with pytest.raises(HistoryDivergedError) as caught:
        await collect(store.read(after=start + 3))
    assert (caught.value.position, caught.value.head) == (start + 3, start + 2)
    with pytest.raises(HistoryDivergedError):
        await take(store.subscribe_changes(after=start + 3), 1)


async def test_a_cursor_of_another_log_is_refused(store: EventStore) -> None:
    await store.append("a/1", some(5))
    async with EventStore.open("memory://") as other:
        await other.append("a/1", some(5))
        foreign = (await other.head()).cursor
    with pytest.raises(HistoryDivergedError):
        await collect(store.read(after=foreign))
    with pytest.raises(HistoryDivergedError):
        await take(store.subscribe_changes(after=foreign), 1)


@pytest.mark.promise("subscription")
@pytest.mark.parametrize("position", [0, 2, 3, 4])
async def test_a_cursor_with_another_hash_is_refused(
    store: EventStore, position: int, start: int
) -> None:
    await store.append("a/1", some(3))
    head = await store.head()
    wrong = Cursor(head.log_id, start + position, b"\0" * 32)
    if start + position == 0:
        assert len(await collect(store.read(after=wrong))) == 3
        return
    with pytest.raises(HistoryDivergedError):
        await collect(store.read(after=wrong))
    with pytest.raises(HistoryDivergedError):
        await take(store.subscribe_changes(after=wrong), 1)


@pytest.mark.from_one
async def test_an_empty_log_s_cursor_stays_good(store: EventStore) -> None:
    start = (await store.head()).cursor
    await store.append("a/1", some(2))
    assert positions(await collect(store.read(after=start))) == [1, 2]
    assert positions(await take(store.subscribe_changes(after=start), 2)) == [1, 2]


async def test_every_event_s_own_cursor_resumes_just_after_it(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(4))
    subscription = store.subscribe_changes(after=start)
    for position in range(1, 5):
        await anext(subscription)
        cursor = subscription.cursor
        assert cursor is not None
        rest = positions(await collect(store.read(after=cursor)), start)
        assert rest == list(range(position + 1, 5))


async def test_a_refused_cursor_does_not_spoil_a_consumer_name(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", some(2))
    head = await store.head()
    with pytest.raises(HistoryDivergedError):
        await take(store.subscribe_changes(after=Cursor("other", 1, b"x"), consumer="w"), 1)
    again = store.subscribe_changes(after=head.cursor, consumer="w")
    await store.append("a/1", some(1))
    assert positions(await take(again, 1), start) == [3]
    await again.aclose()
