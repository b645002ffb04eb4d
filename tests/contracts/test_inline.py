"""Inline projections: part of the append's own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import text
from support.logs import positions, some
from support.waiting import DEADLINE, collect

from eventstore import Cursor, Event, EventStore, EventStoreError, NewEvent, ProjectionError

if TYPE_CHECKING:
    from collections.abc import Sequence

pytestmark = pytest.mark.anyio


class CountByStream:
    """Counts events per stream in a table, and fails on events of type ``Bad``."""

    name = "count_by_stream"

    def __init__(self, error: BaseException | None = None) -> None:
        self.error = error or RuntimeError("cannot count this")

    def setup(self, connection: Any) -> None:
        """Create the tables."""
        for sql in (
            "CREATE TABLE IF NOT EXISTS counted (stream TEXT PRIMARY KEY, n INTEGER)",
            "CREATE TABLE IF NOT EXISTS counted_to (one INTEGER PRIMARY KEY, cursor TEXT)",
        ):
            connection.execute(text(sql))

    def cursor(self, connection: Any) -> Cursor | None:
        """Return how far it has come."""
        stored = connection.execute(text("SELECT cursor FROM counted_to")).scalar()
        return Cursor.parse(stored) if stored else None

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        """Count the events."""
        for event in events:
            connection.execute(
                text(
                    "INSERT INTO counted VALUES (:stream, 1) "
                    "ON CONFLICT (stream) DO UPDATE SET n = counted.n + 1"
                ),
                {"stream": event.stream},
            )
            if event.type == "Bad":
                raise self.error
        connection.execute(
            text(
                "INSERT INTO counted_to VALUES (1, :c) ON CONFLICT (one) DO UPDATE SET cursor = :c"
            ),
            {"c": str(cursor)},
        )


class Reports(CountByStream):
    """Reads back, inside the transaction, what was counted before each append."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        """Count, and note what the table says now."""
        super().apply(connection, events, cursor)
        rows = connection.execute(text("SELECT stream, n FROM counted"))
        self.counts = {row[0]: row[1] for row in rows}


async def test_a_projection_is_up_to_date_when_the_append_returns(url: str) -> None:
    view = Reports()
    async with EventStore.open(url, inline=[view]) as store:
        for count in (1, 2, 3):
            await store.append("a/1", some(count))
            await store.append("b/1", some(1))
    assert view.counts == {"a/1": 6, "b/1": 3}


async def test_a_failing_projection_fails_its_own_append_only(url: str) -> None:
    view = Reports()
    failed: list[EventStoreError] = []
    async with EventStore.open(url, inline=[view]) as store:

        async def append(number: int) -> None:
            type_ = "Bad" if number == 5 else "Good"
            try:
                await store.append(f"a/{number}", [NewEvent(type_, number)])
            except ProjectionError as error:
                failed.append(error)

        async with anyio.create_task_group() as tasks:
            for number in range(10):
                tasks.start_soon(append, number)
        events = await collect(store.read())
        assert positions(events) == list(range(1, 10))
        assert view.counts == {event.stream: 1 for event in events}
    assert len(failed) == 1
    assert "a/5" not in view.counts


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), OSError("x"), UnicodeError("x")])
async def test_a_failing_projection_is_a_typed_error_with_its_cause(
    url: str, error: Exception
) -> None:
    async with EventStore.open(url, inline=[CountByStream(error)]) as store:
        with pytest.raises(ProjectionError) as caught:
            await store.append("a/1", [NewEvent("Good", 1), NewEvent("Bad", 2)])
        assert caught.value.projection == "count_by_stream"
        assert caught.value.__cause__ is error
        assert (await store.head()).position == 0


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), BaseException("x")])
async def test_a_projection_that_raises_anything_at_all_ends_no_writer(
    url: str, error: BaseException
) -> None:
    async with EventStore.open(url, inline=[CountByStream(error)]) as store:
        with anyio.fail_after(DEADLINE), pytest.raises(ProjectionError):
            await store.append("a/1", [NewEvent("Bad", 1)])
        with anyio.fail_after(DEADLINE):
            assert (await store.append("a/1", some(1))).position == 1


async def test_a_projection_without_a_checkpoint_is_a_typed_error(url: str) -> None:
    class Lost(CountByStream):
        def cursor(self, connection: Any) -> Cursor | None:
            raise ValueError("no idea")

    with pytest.raises(ProjectionError):
        async with EventStore.open(url, inline=[Lost()]) as store:
            await store.append("a/1", some(1))


async def test_a_projection_that_is_new_catches_up_when_the_log_opens(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(3))
    view = Reports()
    async with EventStore.open(lasting_url, inline=[view]):
        assert view.counts == {"a/1": 3}


async def test_a_projection_catches_up_on_events_of_a_store_without_it(lasting_url: str) -> None:
    view = Reports()
    async with (
        EventStore.open(lasting_url, inline=[view]) as store,
        EventStore.open(lasting_url) as stranger,
    ):
        await store.append("a/1", some(1))
        await stranger.append("b/1", some(2))
        await store.append("a/1", some(1))
    assert view.counts == {"a/1": 2, "b/1": 2}
