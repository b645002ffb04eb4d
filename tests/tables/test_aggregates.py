"""Aggregates: load, decide, append at the version, and again on a conflict."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from eventstore import ConfigError, ConflictError, EventStore, EventTypes, HistoryGoneError
from eventstore import NewEvent as New
from projections import Aggregate, Aggregates, Fold, handles

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from eventstore import Event

pytestmark = pytest.mark.anyio


class Taken(msgspec.Struct):
    chairs: int


class Hall(Fold[int]):
    """Chairs that are left."""

    name, version = "hall", 1
    event_types = EventTypes(Taken)

    def __init__(self) -> None:
        self.read = 0

    def initial(self) -> int:
        return 10

    @handles(Taken)
    def taken(self, state: int, event: Event, taken: Taken) -> int:
        self.read += 1
        return state - taken.chairs


class FullError(Exception):
    """No chair is left."""


def take(left: int) -> Iterator[Taken]:
    """Decide to take four chairs, where that many are left."""
    if left < 4:
        raise FullError
    yield Taken(4)


@pytest.fixture
async def store(log: str) -> AsyncIterator[EventStore]:
    """Give an open store."""
    async with EventStore.open(log, notify="none") as store:
        yield store


async def test_a_decision_is_taken_on_the_state_and_appended(store: EventStore) -> None:
    halls = Aggregates(store, Hall(), "hall")
    assert await halls.load("1") == Aggregate(10, 0)
    for version in (1, 2):
        done = await halls.execute("1", take)
        assert done is not None
        assert done.version == version
    with pytest.raises(FullError):
        await halls.execute("1", take)
    assert await halls.load("1") == Aggregate(2, 2)
    assert await halls.execute("1", lambda left: []) is None
    assert await halls.execute("2", lambda left: [New("Closed", None)]) is not None
    assert await halls.load("2") == Aggregate(10, 1)


async def test_a_conflict_is_decided_again_a_bounded_number_of_times(store: EventStore) -> None:
    halls, others = Aggregates(store, Hall(), "hall"), 2
    seen: list[int] = []

    append = store.append

    async def crowded(*arguments: Any, **keywords: Any) -> Any:
        nonlocal others
        if others > 0:
            others -= 1
            await append("hall/1", [New("Taken", {"chairs": 1})])
        return await append(*arguments, **keywords)

    store.append = crowded  # type: ignore[method-assign]

    def decide(left: int) -> Iterator[Taken]:
        seen.append(left)
        yield from take(left)

    assert await halls.execute("1", decide) is not None
    assert seen == [10, 9, 8]
    others = 100
    with pytest.raises(ConflictError):
        await halls.execute("1", lambda left: [Taken(0)], attempts=3)
    assert others == 97


async def test_a_stream_is_loaded_from_its_snapshot(store: EventStore) -> None:
    fold = Hall()
    halls = Aggregates(store, fold, "hall", snapshot_every=2)
    for _ in range(5):
        await halls.execute("1", lambda left: [Taken(1)])
    fold.read = 0
    assert await halls.load("1") == Aggregate(5, 5)
    assert fold.read < 3
    assert await Aggregates(store, Hall(), "hall").load("1") == Aggregate(5, 5)


async def test_what_is_redacted_leaves_the_snapshot(store: EventStore) -> None:
    halls = Aggregates(store, Hall(), "hall", snapshot_every=1)
    for _ in range(2):
        await halls.execute("1", take)
    await store.append("hall/2", [New("Taken", {"chairs": 1})])
    await store.redact(3, reason="of another stream")
    assert await halls.load("1") == Aggregate(2, 2)
    await store.redact(1, reason="secret")
    assert await halls.load("1") == Aggregate(6, 2)
    assert await halls.load("1") == Aggregate(6, 2)


async def test_a_trimmed_beginning_is_missed_unless_a_snapshot_has_it(
    store: EventStore, tmp_path: Path
) -> None:
    halls = Aggregates(store, Hall(), "hall", snapshot_every=1)
    for _ in range(2):
        await halls.execute("1", take)
    await halls.load("1")
    await store.trim(2, archive=tmp_path / "archive")
    assert await halls.load("1") == Aggregate(2, 2)
    with pytest.raises(HistoryGoneError, match="events of 'hall/1' were trimmed"):
        await Aggregates(store, Hall(), "hall").load("1")
    await store.trim(3, archive=tmp_path / "all")
    assert await halls.load("1") == Aggregate(2, 2)
    with pytest.raises(HistoryGoneError, match="the last events of 'hall/1' were trimmed"):
        await Aggregates(store, Hall(), "hall").load("1")
    assert await Aggregates(store, Hall(), "hall").load("2") == Aggregate(10, 0)


def test_a_snapshot_is_made_of_some_events() -> None:
    with pytest.raises(ConfigError, match="snapshot_every=0"):
        Aggregates(EventStore.open("memory://"), Hall(), "hall", snapshot_every=0)
