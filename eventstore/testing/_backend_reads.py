"""What every backend promises of repeated appends, of reading, and of those who follow."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from eventstore import NO_STREAM, DuplicateEventError, EventStore, NewEvent, StreamWrite
from eventstore.testing._backend_parts import OpenStore, collect, some, take

if TYPE_CHECKING:
    from eventstore import Appended

STREAMS: Final = ("rule/1", "rule/2", "rules/1", "rule/10", "other/rule", "ruld/z", "Rule/1")
TYPES: Final = ("A", "B", "a")

RANGES: Final[list[tuple[int, int | None, int | None]]] = [
    (0, None, None), (0, 0, None), (41, None, None), (42, None, None), (3, 9, None),
    (9, 3, None), (9, 9, None), (5, 10**30, None), (0, None, 0), (0, None, 1), (10, 20, 4),
    (10, 20, 10), (10, 20, 11), (40, 45, 10**30),
]  # fmt: skip

TYPE_FILTERS: Final[list[Any]] = [None, {"A"}, ["A", "B"], {"nothing"}, set(), ("a", "a")]

KILLED_AFTER: Final = 5
"""Appends that have returned when the process that appends is killed."""


class RepeatContract:
    """Appends that are given again; see :class:`eventstore.testing.backends.BackendContract`."""

    async def test_a_retry_returns_the_first_result_and_stores_nothing(
        self, event_store: EventStore, start: int
    ) -> None:
        """Also after others have appended."""
        events = some(3)
        first = await event_store.append("a/1", events, expected=NO_STREAM)
        await event_store.append("a/1", some(4))
        again = await event_store.append("a/1", events, expected=NO_STREAM)
        assert again == replace(first, duplicate=True)  # noqa: S101
        assert (await event_store.head()).position == start + 7  # noqa: S101

    async def test_ids_are_checked_before_the_expected_version(
        self, event_store: EventStore
    ) -> None:
        """What is stored already is no conflict."""
        events = some(1)
        await event_store.append("a/1", events, expected=NO_STREAM)
        assert (await event_store.append("a/1", events, expected=99)).duplicate  # noqa: S101

    async def test_racing_retries_store_the_events_once(
        self, event_store: EventStore, start: int
    ) -> None:
        """Each of them gets the same positions."""
        events = some(2)
        results: list[Appended] = []

        async def append() -> None:
            results.append(await event_store.append("a/1", events, expected=NO_STREAM))

        async with anyio.create_task_group() as tasks:
            for _ in range(20):
                tasks.start_soon(append)
        assert sum(not done.duplicate for done in results) == 1  # noqa: S101
        assert {done.position for done in results} == {start + 2}  # noqa: S101
        found = await collect(event_store.read(after=start))
        assert [event.position - start for event in found] == [1, 2]  # noqa: S101

    async def test_a_retry_is_recognised_after_reopening(
        self, lasting_event_store_url: str, open_event_store: OpenStore
    ) -> None:
        """By the ids of its events."""
        events = [NewEvent("T", 1, id="order-1"), NewEvent("T", b"x")]
        async with open_event_store(lasting_event_store_url) as store:
            first = await store.append("a/1", events)
        async with open_event_store(lasting_event_store_url) as store:
            again = await store.append("a/1", events)
        assert again == replace(first, duplicate=True)  # noqa: S101

    async def test_known_and_new_events_together_are_refused(
        self, event_store: EventStore, start: int
    ) -> None:
        """The error names those that are known."""
        known = some(1)
        await event_store.append("a/1", known)
        before = await event_store.head()
        with pytest.raises(DuplicateEventError) as caught:
            await event_store.append("a/1", [*known, *some(1)])
        found = caught.value.ids, caught.value.positions
        assert found == ((known[0].id,), (start + 1,))  # noqa: S101
        assert await event_store.head() == before  # noqa: S101

    @pytest.mark.parametrize(
        ("stream", "event"),
        [
            ("a/1", NewEvent("T", 2, id="x", metadata={"m": 1})),
            ("a/1", NewEvent("U", 1, id="x", metadata={"m": 1})),
            ("a/1", NewEvent("T", 1, id="x", metadata={"m": 2})),
            ("a/1", NewEvent("T", 1, id="x")),
            ("a/1", NewEvent("T", b"1", id="x", metadata={"m": 1})),
            ("a/2", NewEvent("T", 1, id="x", metadata={"m": 1})),
        ],
        ids=["data", "type", "metadata", "no metadata", "bytes", "stream"],
    )
    async def test_a_known_id_with_other_content_is_refused(
        self, event_store: EventStore, stream: str, event: NewEvent, start: int
    ) -> None:
        """And stores nothing."""
        await event_store.append("a/1", [NewEvent("T", 1, id="x", metadata={"m": 1})])
        with pytest.raises(DuplicateEventError) as caught:
            await event_store.append(stream, [event])
        assert caught.value.ids == ("x",)  # noqa: S101
        assert (await event_store.head()).position == start + 1  # noqa: S101


class ReadContract:
    """Reading and following; see :class:`eventstore.testing.backends.BackendContract`."""

    @pytest.fixture
    async def filled(self, event_store: EventStore, start: int) -> EventStore:
        """Append 42 events, after ``start``: every stream with every type, twice."""
        assert (await event_store.head()).position == start  # noqa: S101
        for call in range(6):
            numbers = range(7 * call, 7 * call + 7)
            await event_store.append_many(
                [StreamWrite(STREAMS[n % 7], [NewEvent(TYPES[n % 3], n)]) for n in numbers]
            )
        return event_store

    @pytest.mark.parametrize("backwards", [False, True])
    async def test_a_range_is_open_below_and_closed_above(
        self, filled: EventStore, backwards: bool, start: int
    ) -> None:
        """In either direction, and with a limit."""
        for after, until, limit in RANGES:
            expected = [p for p in range(1, 43) if after < p <= (42 if until is None else until)]
            if backwards:
                expected.reverse()
            read = filled.read(
                after=start + after,
                until=None if until is None else start + until,
                limit=limit,
                backwards=backwards,
            )
            found = [event.position - start for event in await collect(read)]
            assert found == expected[:limit]  # noqa: S101

    @pytest.mark.parametrize("streams", [None, "rule/", "rule/1", "other/", "rule/3", "none/"])
    async def test_filters_by_stream_and_type_combine(
        self, filled: EventStore, streams: str | None, start: int
    ) -> None:
        """A category ends with a slash; names are told apart by their case."""

        def matches(number: int, types: Any) -> bool:
            stream = STREAMS[number % 7]
            if types is not None and TYPES[number % 3] not in types:
                return False
            if streams is None or stream == streams:
                return True
            return streams.endswith("/") and stream.startswith(streams)

        for types in TYPE_FILTERS:
            expected = [n + 1 for n in range(42) if matches(n, types)]
            for backwards in (False, True):
                read = filled.read(after=start, streams=streams, types=types, backwards=backwards)
                found = [event.position - start for event in await collect(read)]
                assert found == expected[:: -1 if backwards else 1]  # noqa: S101

    @pytest.mark.parametrize("backwards", [False, True])
    @pytest.mark.parametrize(
        ("after", "limit"), [(0, None), (4, None), (6, None), (99, None), (1, 2)]
    )
    async def test_a_stream_is_read_by_version(
        self, filled: EventStore, after: int, limit: int | None, backwards: bool, start: int
    ) -> None:
        """In either direction, and with a limit."""
        read = filled.read_stream("rule/2", after_version=after, limit=limit, backwards=backwards)
        events = await collect(read)
        expected = [version for version in range(1, 7) if version > after]
        if backwards:
            expected.reverse()
        assert [event.version for event in events] == expected[:limit]  # noqa: S101
        places = [start + 2 + 7 * (event.version - 1) for event in events]
        assert [event.position for event in events] == places  # noqa: S101

    async def test_a_query_is_of_one_moment(self, event_store: EventStore) -> None:
        """It is given the head of the snapshot that it reads."""
        done = await event_store.append("a/1", some(2))
        head = await event_store.query(lambda _connection, head: head)
        assert head.cursor == done.cursor  # noqa: S101

    async def test_a_consumer_resumes_at_the_event_it_did_not_finish(
        self, event_store: EventStore, start: int
    ) -> None:
        """Where it has asked for the next one, the one before is done."""
        await event_store.append("a/1", some(5))
        for first, last in ((1, 3), (3, 5)):
            async with event_store.subscribe_changes(after=start, consumer="w") as changes:
                events = await take(changes, 3)
            found = [event.position - start for event in events]
            assert found == list(range(first, last + 1))  # noqa: S101

    async def test_a_consumer_resumes_after_reopening(
        self, lasting_event_store_url: str, open_event_store: OpenStore
    ) -> None:
        """After what it has acknowledged."""
        async with open_event_store(lasting_event_store_url) as store:
            await store.append("a/1", some(5))
            async with store.subscribe_changes(consumer="w") as changes:
                await take(changes, 3)
                await changes.ack()
        async with (
            open_event_store(lasting_event_store_url) as store,
            store.subscribe_changes(consumer="w") as changes,
        ):
            assert [event.position for event in await take(changes, 2)] == [4, 5]  # noqa: S101

    async def test_what_a_killed_process_has_appended_is_there(
        self, lasting_event_store_url: str, open_event_store: OpenStore
    ) -> None:
        """Each append that returned, whole; and of one that did not return, all or nothing."""
        killed = subprocess.Popen(  # noqa: ASYNC220, S603 - killed soon
            [sys.executable, "-m", "eventstore.testing._appending", lasting_event_store_url],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert killed.stdout is not None  # noqa: S101
        with killed:
            told = [int(killed.stdout.readline()) for _ in range(KILLED_AFTER)]
            killed.kill()
            told += [int(line) for line in killed.stdout]
        async with open_event_store(lasting_event_store_url) as store:
            events = await collect(store.read())
            head = await store.head()
        found = [event.position for event in events]
        assert found == list(range(1, head.position + 1))  # noqa: S101
        assert head.position in {told[-1], told[-1] + 3}  # noqa: S101
        assert {event.commit for event in events} >= set(told)  # noqa: S101
