"""Bad input is refused with a typed error that says what, before anything is queued (promise 8)."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, cast

import pytest
from support.logs import ids, some
from support.waiting import collect, take

from eventstore import (
    Cursor,
    EventStore,
    EventStoreError,
    InvalidInputError,
    LimitExceededError,
    NewEvent,
    StreamWrite,
    limits,
)

pytestmark = pytest.mark.anyio


def nested(depth: int) -> Any:
    """Return lists within lists."""
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


CYCLE: list[Any] = []
CYCLE.append(CYCLE)
INEXACT = [
    float("nan"), float("inf"), [-float("inf")], {1: 2}, {"a": {None: 1}}, (1, 2), {"a": (1,)},
    datetime(2024, 1, 1, tzinfo=UTC), Decimal("1.5"), {1, 2}, object(), "\ud800", {"\udfff": 1},
    {"a": b"x"}, CYCLE, nested(100_000), 1j,
]  # fmt: skip
BAD_STREAMS = [
    "", "a", "/", "/a", "a/", "a//", "a/\0", "a/\n", "a/\ud800", "a/" + "x" * 1023,
    "é" * 512 + "/x", None, 5, b"a/1",
]  # fmt: skip

BAD_RANGES: list[dict[str, Any]] = [
    {"after": -1}, {"after": True}, {"after": 1.0}, {"after": "1"}, {"after": None},
    {"after": Cursor("x", cast("int", "y"), b"")}, {"after": Cursor("x", 1, cast("bytes", None))},
    {"until": -1}, {"until": False}, {"until": "1"},
    {"limit": -1}, {"limit": True}, {"limit": 1.5},
    {"types": "T"}, {"types": 5}, {"types": [1]}, {"types": ["a", 1]}, {"types": {"\ud800"}},
    {"streams": ""}, {"streams": "/"}, {"streams": "rule"}, {"streams": 5},
    {"streams": "\ud800/"}, {"streams": "a\0/"}, {"streams": "x" * 2000 + "/"},
    {"exclude_streams": [f"a/{number}" for number in range(limits.MAX_EXCLUDED + 1)]},
]  # fmt: skip


@pytest.mark.parametrize("value", INEXACT, ids=ids(INEXACT))
def test_what_json_cannot_hold_exactly_is_refused(value: Any) -> None:
    with pytest.raises(InvalidInputError):
        NewEvent("T", value)
    with pytest.raises(InvalidInputError):
        NewEvent("T", 1, metadata={"m": value})


@pytest.mark.parametrize("metadata", ["text", b"bytes", 5, [1], [("a", 1)], {1: 2}])
def test_metadata_that_is_no_object_is_refused(metadata: Any) -> None:
    with pytest.raises(InvalidInputError):
        NewEvent("T", 1, metadata=metadata)


@pytest.mark.parametrize("name", ["", "\0", "a\nb", "\ud800", None, 5, b"T", "x" * 256])
def test_a_bad_type_or_id_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInputError):
        NewEvent(name, 1)
    if name is not None:
        with pytest.raises(InvalidInputError):
            NewEvent("T", 1, id=name)


@pytest.mark.parametrize("stream", BAD_STREAMS, ids=ids(BAD_STREAMS))
@pytest.mark.any_past
async def test_a_bad_stream_name_is_refused(store: EventStore, stream: Any, start: int) -> None:
    with pytest.raises(InvalidInputError):
        await store.append(stream, some(1))
    with pytest.raises(InvalidInputError):
        store.read_stream(stream)
    assert (await store.head()).position == start


@pytest.mark.parametrize("events", [[], (), "x", [5], [None], [("T", 1)], None, 5])
@pytest.mark.any_past
async def test_what_is_no_list_of_new_events_is_refused(
    store: EventStore, events: Any, start: int
) -> None:
    with pytest.raises(InvalidInputError):
        await store.append("a/1", events)
    assert (await store.head()).position == start


@pytest.mark.parametrize("writes", [None, 5, [None], [("a/1", some(1))], "ab"])
@pytest.mark.any_past
async def test_what_is_no_list_of_writes_is_refused(store: EventStore, writes: Any) -> None:
    with pytest.raises(InvalidInputError):
        await store.append_many(writes)


@pytest.mark.parametrize("arguments", BAD_RANGES, ids=ids(BAD_RANGES))
@pytest.mark.any_past
async def test_a_bad_range_or_filter_is_refused(
    store: EventStore, arguments: dict[str, Any]
) -> None:
    await store.append("a/1", some(2))
    with pytest.raises(EventStoreError):
        await collect(store.read(**arguments))
    if "until" not in arguments and "limit" not in arguments:
        with pytest.raises(EventStoreError):
            await take(store.subscribe_changes(**arguments), 1)


@pytest.mark.parametrize("version", [-1, True, 1.5, "1", None])
@pytest.mark.any_past
async def test_a_bad_version_is_refused(store: EventStore, version: Any) -> None:
    with pytest.raises(InvalidInputError):
        store.read_stream("a/1", after_version=version)


async def test_a_version_that_no_stream_can_have_finds_nothing(store: EventStore) -> None:
    await store.append("a/1", some(1))
    assert await collect(store.read_stream("a/1", after_version=2**70)) == []


@pytest.mark.parametrize("consumer", ["", "\0", "\ud800", 5, "x" * 256])
@pytest.mark.any_past
async def test_a_bad_consumer_name_is_refused(store: EventStore, consumer: Any) -> None:
    with pytest.raises(InvalidInputError):
        store.subscribe_changes(consumer=consumer)


@pytest.mark.any_past
async def test_every_limit_is_met_exactly(store: EventStore, start: int) -> None:
    stream = "a/" + "x" * (limits.MAX_STREAM_BYTES - 2)
    event = NewEvent(
        "T" * limits.MAX_TYPE_BYTES,
        bytes(limits.MAX_EVENT_BYTES),
        id="i" * limits.MAX_ID_BYTES,
        metadata={"m": "x" * (limits.MAX_METADATA_BYTES - 8)},
    )
    await store.append(stream, [event])
    (back,) = await collect(store.read(after=start))
    assert (back.stream, back.type, back.id) == (stream, event.type, event.id)
    assert (len(back.data), back.metadata) == (limits.MAX_EVENT_BYTES, event.metadata)


def test_content_over_a_limit_says_how_much_over() -> None:
    with pytest.raises(LimitExceededError) as caught:
        NewEvent("T", bytes(limits.MAX_EVENT_BYTES + 1))
    assert (caught.value.actual, caught.value.limit) == (
        limits.MAX_EVENT_BYTES + 1,
        limits.MAX_EVENT_BYTES,
    )
    with pytest.raises(LimitExceededError):
        NewEvent("T", 1, metadata={"m": "x" * limits.MAX_METADATA_BYTES})


@pytest.mark.any_past
async def test_a_commit_over_a_limit_is_refused(store: EventStore, start: int) -> None:
    event = NewEvent("T", bytes(limits.MAX_EVENT_BYTES))
    many = [event] * (limits.MAX_COMMIT_BYTES // limits.MAX_EVENT_BYTES + 1)
    with pytest.raises(LimitExceededError):
        await store.append("a/1", many)
    with pytest.raises(LimitExceededError):
        await store.append("a/1", [event] * (limits.MAX_COMMIT_EVENTS + 1))
    assert (await store.head()).position == start


@pytest.mark.any_past
async def test_deep_data_that_was_accepted_can_be_read_anywhere(store: EventStore) -> None:
    for depth in (50, 500, 900):
        try:
            await store.append("a/1", [NewEvent("T", nested(depth))])
        except InvalidInputError:
            break

    def read_below(frames: int, event: Any) -> Any:
        return read_below(frames - 1, event) if frames else event.data

    for event in await collect(store.read()):
        assert read_below(400, event) is not None


@pytest.mark.promise("bad-input")
async def test_the_store_goes_on_after_bad_input(store: EventStore, start: int) -> None:
    with pytest.raises(InvalidInputError):
        await store.append_many([StreamWrite("bad", some(1))])
    assert (await store.append("a/1", some(1))).position == start + 1
