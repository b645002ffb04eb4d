"""What every backend promises of appends: positions, versions, durability, conflicts, retries."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, ConflictError, EventStore, NewEvent
from eventstore.testing._backend_parts import OpenStore, collect, some
from eventstore.testing.clock import START_US, FakeClock

if TYPE_CHECKING:
    from eventstore import Appended

EXACT: Final[list[Any]] = [
    None, True, False, 0, -1, 2**53 + 1, 2**63 - 1, -(2**63), 0.1, -0.0, 1e300, 5e-324,
    "", "\0", "é", "e\u0301", "\U0001f600", "\u2028", "'; --", [], {}, [[]], {"": None},
    {"a": [1, {"b": None}]}, {"é": "z", "a": 1}, "x" * 70_000,
]  # fmt: skip
"""Data that come back as they were appended."""


class AppendContract:
    """Appends; see :class:`eventstore.testing.backends.BackendContract`."""

    async def test_an_append_returns_position_version_and_cursor(
        self, event_store: EventStore, start: int
    ) -> None:
        """Its cursor is that of the head, and its time that of the last event."""
        done = await event_store.append("rule/R1", some(3))
        head = await event_store.head()
        assert (done.position - start, done.version) == (3, 3)  # noqa: S101
        assert (done.versions, done.duplicate) == ({"rule/R1": 3}, False)  # noqa: S101
        assert done.cursor == head.cursor  # noqa: S101
        [*_, last] = await collect(event_store.read(after=start))
        assert (done.recorded_us, done.recorded_at) == (  # noqa: S101
            last.recorded_us,
            last.recorded_at,
        )

    async def test_an_append_that_returned_is_seen_by_the_next_read(
        self, event_store: EventStore, start: int
    ) -> None:
        """Of the same store, at once."""
        for expected in range(1, 20):
            done = await event_store.append("a/1", some(1))
            found = await collect(event_store.read(after=start + expected - 1))
            assert [event.position for event in found] == [done.position]  # noqa: S101

    async def test_an_append_that_returned_is_there_after_reopening(
        self, lasting_event_store_url: str, open_event_store: OpenStore
    ) -> None:
        """With all that was read of it before."""
        async with open_event_store(lasting_event_store_url) as store:
            await store.append("a/1", some(3))
            before = await collect(store.read())
        async with open_event_store(lasting_event_store_url) as store:
            assert await collect(store.read()) == before  # noqa: S101
            assert (await store.append("a/1", some(1))).position == 4  # noqa: S101

    async def test_another_store_on_the_log_sees_an_append_at_once(
        self, lasting_event_store_url: str, open_event_store: OpenStore
    ) -> None:
        """Without a wake-up."""
        async with (
            open_event_store(lasting_event_store_url) as writer,
            open_event_store(lasting_event_store_url) as reader,
        ):
            for position in range(1, 6):
                await writer.append("a/1", some(1))
                assert (await reader.head()).position == position  # noqa: S101

    async def test_positions_are_contiguous_whoever_appends(
        self, event_store: EventStore, start: int
    ) -> None:
        """Also where many append at once."""
        results: list[Appended] = []

        async def append(stream: str) -> None:
            for count in (1, 3, 2):
                done = await event_store.append(stream, some(count))
                results.append(done)

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(append, f"a/{number}")
        events = await collect(event_store.read(after=start))
        found = [event.position - start for event in events]
        assert found == list(range(1, 61))  # noqa: S101
        assert {done.position for done in results} == {e.commit for e in events}  # noqa: S101

    async def test_a_call_s_events_are_neighbours_and_share_their_commit(
        self, event_store: EventStore, start: int
    ) -> None:
        """And are in the order in which they were given."""
        async with anyio.create_task_group() as tasks:
            for number in range(8):
                tasks.start_soon(event_store.append, f"a/{number}", some(3))
        events = await collect(event_store.read(after=start))
        for first in range(0, 24, 3):
            call = events[first : first + 3]
            assert {event.stream for event in call} == {call[0].stream}  # noqa: S101
            assert {event.commit for event in call} == {start + first + 3}  # noqa: S101
            assert [event.data for event in call] == [0, 1, 2]  # noqa: S101

    async def test_versions_count_each_stream_s_events_from_1(
        self, event_store: EventStore
    ) -> None:
        """However the streams are mixed."""
        for _ in range(3):
            await event_store.append("a/1", some(2))
            await event_store.append("b/1", some(1))
        for stream, count in (("a/1", 6), ("b/1", 3)):
            events = await collect(event_store.read_stream(stream))
            assert [e.version for e in events] == list(range(1, count + 1))  # noqa: S101

    @pytest.mark.parametrize("value", EXACT, ids=[f"{n}" for n in range(len(EXACT))])
    async def test_json_comes_back_exactly(
        self, event_store: EventStore, value: Any, start: int
    ) -> None:
        """As data and as metadata."""
        small = value[:9] if isinstance(value, str) else value
        await event_store.append("a/1", [NewEvent("T", value, metadata={"m": small})])
        (event,) = await collect(event_store.read(after=start))
        assert repr(event.data) == repr(value)  # noqa: S101
        assert repr(event.metadata) == repr({"m": small})  # noqa: S101
        assert not event.redacted  # noqa: S101

    @pytest.mark.parametrize("value", [b"", b"\0", b"null", bytes(range(256)), b"\xff\xfe"])
    async def test_bytes_come_back_as_the_same_bytes(
        self, event_store: EventStore, value: bytes, start: int
    ) -> None:
        """And are told from JSON."""
        await event_store.append("a/1", [NewEvent("T", value)])
        (event,) = await collect(event_store.read(after=start))
        assert (event.data, type(event.data)) == (value, bytes)  # noqa: S101

    async def test_an_event_is_recorded_at_the_clock_s_time(
        self, event_store: EventStore, event_clock: FakeClock, start: int
    ) -> None:
        """To the microsecond."""
        event_clock.now_us = START_US + 1
        await event_store.append("a/1", some(1))
        (event,) = await collect(event_store.read(after=start))
        recorded = datetime(2023, 11, 14, 22, 13, 20, 1, tzinfo=UTC)
        assert event.recorded_at == recorded  # noqa: S101

    async def test_a_refused_append_leaves_no_hole(
        self, event_store: EventStore, start: int
    ) -> None:
        """The next one has the next position."""
        await event_store.append("a/1", some(1))
        with pytest.raises(ConflictError):
            await event_store.append("a/1", some(5), expected=7)
        assert (await event_store.append("a/1", some(1))).position == start + 2  # noqa: S101

    async def test_the_right_version_is_accepted(self, event_store: EventStore) -> None:
        """In each way to say it."""
        await event_store.append("a/1", some(2), expected=NO_STREAM)
        await event_store.append("a/1", some(1), expected=2)
        await event_store.append("a/1", some(1), expected=STREAM_EXISTS)
        assert (await event_store.append("a/1", some(1), expected=ANY)).version == 5  # noqa: S101

    @pytest.mark.parametrize(
        ("stream", "expected", "actual"),
        [
            ("a/1", 0, 2),
            ("a/1", 1, 2),
            ("a/1", 3, 2),
            ("b/1", 1, 0),
            ("a/10", 2, 0),
            ("a/1", 2**70, 2),
        ],
    )
    async def test_a_wrong_version_says_expected_and_actual(
        self, event_store: EventStore, stream: str, expected: int, actual: int
    ) -> None:
        """And stores nothing."""
        await event_store.append("a/1", some(2))
        before = await event_store.head()
        with pytest.raises(ConflictError) as caught:
            await event_store.append(stream, some(1), expected=expected)
        error = caught.value
        said = (error.stream, error.expected, error.actual)
        assert said == (stream, expected, actual)  # noqa: S101
        assert await event_store.head() == before  # noqa: S101

    async def test_of_many_racing_appends_one_wins_each_version(
        self, event_store: EventStore
    ) -> None:
        """The others get a conflict."""
        won: list[int] = []
        lost: list[ConflictError] = []

        async def race(number: int) -> None:
            for version in range(5):
                try:
                    await event_store.append("a/1", [NewEvent("T", number)], expected=version)
                    won.append(version)
                except ConflictError as error:
                    lost.append(error)

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(race, number)
        assert (sorted(won), len(lost)) == ([0, 1, 2, 3, 4], 45)  # noqa: S101
        assert len(await collect(event_store.read_stream("a/1"))) == 5  # noqa: S101

    async def test_stores_that_race_on_one_log_lose_nothing(
        self, lasting_event_store_url: str, open_event_store: OpenStore
    ) -> None:
        """Each version is that of one append of one of them."""

        async def count_to(store: EventStore, goal: int) -> None:
            added, version = 0, 0
            while added < goal:
                try:
                    version = (await store.append("a/1", some(1), expected=version)).version
                    added += 1
                except ConflictError as error:
                    version = error.actual

        async with (
            open_event_store(lasting_event_store_url) as one,
            open_event_store(lasting_event_store_url) as two,
        ):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(count_to, one, 30)
                tasks.start_soon(count_to, two, 30)
            versions = [event.version for event in await collect(one.read_stream("a/1"))]
        assert versions == list(range(1, 61))  # noqa: S101
