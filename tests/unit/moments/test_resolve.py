"""Moments of a log: what each kind finds, and what is said where it finds nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import EventStore, NewEvent, StreamWrite
from eventstore.errors import HistoryGoneError
from eventstore.log.clock import from_microseconds
from eventstore.moments.errors import (
    AmbiguousMomentError,
    FutureMomentError,
    UnknownMomentError,
)
from eventstore.moments.resolve import Moment, resolve_moment
from eventstore.moments.tags import TagTakenError, find_tag, list_tags, set_tag
from eventstore.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

FIRST, SECOND, THIRD = "aaaa1111" * 5, "aaaa2222" * 5, "cccc3333" * 5


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
async def store(clock: FakeClock) -> AsyncIterator[EventStore]:
    async with EventStore.open("memory://", clock=clock) as store:
        yield store


def noted(commit: str | None = None) -> NewEvent:
    git: dict[str, Any] = {"git": {"commit": commit, "subject": f"after {THIRD}"}}
    return NewEvent("Noted", {}, metadata=git if commit else None)


async def at(store: EventStore, given: Any) -> int:
    return (await resolve_moment(store, given)).position


async def test_a_position_within_a_commit_is_the_end_of_the_one_before(store: EventStore) -> None:
    await store.append("a/1", [noted(), noted()])
    await store.append_many([StreamWrite(f"a/{number}", [noted()]) for number in range(2, 7)])
    await store.append("a/9", [noted()])
    found = [await at(store, position) for position in range(9)]
    assert found == [0, 0, 2, 2, 2, 2, 2, 7, 8]
    assert str(await resolve_moment(store, "5")) == "5 (position 2)"


async def test_a_time_is_the_end_of_what_was_recorded_up_to_it(
    store: EventStore, clock: FakeClock
) -> None:
    times = []
    for _ in range(5):
        await store.append("a/1", [noted(), noted()])
        times.append(from_microseconds(clock()))
        clock.advance(timedelta(hours=1))
    assert [await at(store, time) for time in times] == [2, 4, 6, 8, 10]
    assert await at(store, times[2] - timedelta(microseconds=1)) == 4
    assert await at(store, times[0] - timedelta(days=1)) == 0
    assert await at(store, "now-2h") == 8
    assert await at(store, (times[1] + timedelta(minutes=5)).isoformat()) == 4
    assert await at(store, "now") == 10


async def test_a_commit_of_git_is_found_by_the_beginning_of_its_hash(store: EventStore) -> None:
    await store.append_many(
        [StreamWrite("a/1", [noted(FIRST)]), StreamWrite("a/2", [noted(FIRST)])]
    )
    await store.append("b/1", [noted(FIRST)])  # Another source of the same work tree.
    await store.append("a/1", [noted(SECOND)])
    await store.append("a/1", [noted(FIRST)])  # It was checked out again.
    for given in (f"git:{FIRST}", "git:aaaa1", "AAAA1"):
        assert await at(store, given) == 3
    assert await at(store, "aaaa2") == 4
    with pytest.raises(AmbiguousMomentError) as raised:
        await resolve_moment(store, "git:aaaa")
    assert raised.value.candidates == (f"git:{FIRST}", f"git:{SECOND}")
    with pytest.raises(UnknownMomentError, match="was synced"):
        await resolve_moment(store, f"git:{THIRD}")


async def test_a_tag_stays_at_its_position_and_may_be_replaced(store: EventStore) -> None:
    await store.append("a/1", [noted(), noted()])
    await store.append("a/1", [noted(THIRD)])
    await set_tag(store, "before", 2, by="ana")
    await set_tag(store, "before", 2)  # It is there already: nothing is appended.
    assert (await store.head()).position == 4
    assert await at(store, "before") == await at(store, "tag:before") == 2
    with pytest.raises(TagTakenError, match="position 2 already"):
        await set_tag(store, "before", 3)
    await set_tag(store, "before", 3, replace=True)
    await set_tag(store, "cccc", 2)
    assert [(tag.name, tag.position) for tag in await list_tags(store)] == [
        ("before", 3), ("cccc", 2),
    ]  # fmt: skip
    with pytest.raises(AmbiguousMomentError, match=f"tag:cccc, git:{THIRD}"):
        await resolve_moment(store, "cccc")
    assert await at(store, "tag:cccc") == 2
    with pytest.raises(UnknownMomentError, match="tag --list"):
        await resolve_moment(store, "none")


async def test_an_event_in_a_tags_stream_that_is_no_tag_changes_nothing(store: EventStore) -> None:
    await set_tag(store, "x", 0)
    await store.append("tag/x", [NewEvent("MomentTagged", {"position": "far"}), noted()])
    tag = await find_tag(store, "x")
    assert tag is not None
    assert tag.position == 0


async def test_what_lies_ahead_is_no_moment(store: EventStore) -> None:
    await store.append("a/1", [noted()])
    for given in ("2", "now+1h", "9999-01-01", "9" * 100):
        with pytest.raises(FutureMomentError, match="beyond the head, which is 1"):
            await resolve_moment(store, given)
    assert await resolve_moment(store, "now") == Moment(1, "now")


async def test_what_was_trimmed_away_is_gone_and_tags_stay(
    store: EventStore, clock: FakeClock, tmp_path: Path
) -> None:
    await store.append("a/1", [noted()])
    await set_tag(store, "old", 1)
    await store.append("a/1", [noted()])
    await set_tag(store, "kept", 3)
    clock.advance(timedelta(hours=1))
    await store.append("a/1", [noted()])
    await store.trim(5, archive=tmp_path / "old.export")
    assert (await store.head()).first_position == 5
    assert await at(store, "4") == 4
    assert [tag.position for tag in await list_tags(store)] == [3, 1]
    for given in ("3", "tag:old", "now-2h", "0"):
        with pytest.raises(HistoryGoneError, match="archives of trims"):
            await resolve_moment(store, given)
    assert await at(store, "now") == 6
