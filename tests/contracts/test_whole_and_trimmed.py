"""What every reader promises, on a whole log and on one that was trimmed before it came."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import positions, some
from support.waiting import DEADLINE, collect, signalled, take

from eventstore import (
    END,
    ChangeRejectedError,
    Event,
    EventStore,
    HistoryGoneError,
    NewEvent,
    NotAppliedError,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator
    from pathlib import Path

    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio


class Log:
    """An open store, and the position after which a test's own events begin."""

    def __init__(self, store: EventStore, base: int) -> None:
        self.store = store
        self.base = base

    def places(self, events: list[Event]) -> list[int]:
        """Return the events' places among the test's own, from 1."""
        return [position - self.base for position in positions(events) if position > self.base]

    async def read(self, source: AsyncIterable[Event]) -> list[int]:
        return self.places(await collect(source))


@pytest.fixture(params=["whole", "trimmed", "trimmed twice"])
async def log(
    request: pytest.FixtureRequest, url: str, clock: FakeClock, tmp_path: Path
) -> AsyncIterator[Log]:
    """Give a log with a past; all of it but the notice of a trim may be gone."""
    async with EventStore.open(url, clock=clock) as store:
        await store.append("old/1", some(5))
        for number in range(("whole", "trimmed", "trimmed twice").index(request.param)):
            await store.append("rule/R1", some(2))
            before = (await store.head()).position + 1
            await store.trim(before, archive=tmp_path / f"{number}.export")
        yield Log(store, (await store.head()).position)


async def test_a_read_that_names_no_start_gives_what_is_there(log: Log) -> None:
    await log.store.append("rule/R1", some(4))
    assert await log.read(log.store.read()) == [1, 2, 3, 4]
    assert await log.read(log.store.read(backwards=True)) == [4, 3, 2, 1]
    assert await log.read(log.store.read(backwards=True, limit=2)) == [4, 3]
    assert await log.read(log.store.read(backwards=True, streams="rule/", limit=3)) == [4, 3, 2]
    assert await log.read(log.store.read(kept=True, backwards=True, limit=1)) == [4]
    assert await log.read(log.store.read(streams="rule/R1")) == [1, 2, 3, 4]
    assert await log.read(log.store.read_stream("rule/R1")) == [1, 2, 3, 4]
    every = await collect(log.store.read())
    assert await collect(log.store.read(backwards=True)) == every[::-1]
    kept = await collect(log.store.read(kept=True))
    assert await collect(log.store.read(kept=True, backwards=True)) == kept[::-1]


async def test_a_subscription_that_names_no_start_gives_what_is_there(log: Log) -> None:
    await log.store.append("rule/R1", some(2))
    follower = log.store.subscribe_changes(streams="rule/R1", types={"New"})
    await log.store.append("rule/R1", some(2, "New"))
    assert log.places(await take(follower, 2)) == [3, 4]
    ended = await collect(log.store.subscribe_changes(follow=False))
    assert ended == await collect(log.store.read())
    commits = await collect(log.store.subscribe_changes(follow=False).commits())
    assert log.places([event for _, events in commits for event in events]) == [1, 2, 3, 4]
    assert log.places(await take(log.store.subscribe_changes(kept=True, types={"New"}), 1)) == [3]


async def test_who_asks_for_the_first_event_is_told_that_it_is_gone(log: Log) -> None:
    first = (await log.store.head()).first_position
    readers: list[AsyncIterable[Event]] = [
        log.store.read(after=0),
        log.store.read(after=0, backwards=True),
        log.store.subscribe_changes(after=0),
        log.store.subscribe_changes(after=0, consumer="w"),
    ]
    for reader in readers:
        if first == 1:
            assert await take(reader, 1)
        else:
            with pytest.raises(HistoryGoneError):
                await take(reader, 1)


async def test_a_new_consumer_begins_with_what_is_there_and_resumes(log: Log) -> None:
    await log.store.append("rule/R1", some(3))
    async with log.store.subscribe_changes(consumer="w", streams="rule/R1") as first:
        assert log.places(await take(first, 2))[-1:] == [2]
    async with log.store.subscribe_changes(consumer="w", streams="rule/R1") as second:
        assert log.places(await take(second, 2)) == [2, 3]
    async with log.store.subscribe_changes(consumer="end", after=END) as late:
        await log.store.append("rule/R1", some(1))
        assert log.places(await take(late, 1)) == [4]


async def work(log: Log, name: str, *, reject: int = 0) -> None:
    """Follow as a worker does; reject one of the test's own events."""
    async for event in (changes := log.store.subscribe_changes(consumer=name, streams="rule/")):
        if event.position - log.base == reject:
            await changes.reject(event, "no such field")


async def test_a_wait_returns_once_every_consumer_has_done_the_change(log: Log) -> None:
    async with anyio.create_task_group() as tasks:
        for name in ("w1", "w2"):
            tasks.start_soon(work, log, name)
        done = await log.store.append("rule/R1", some(2))
        states = await log.store.wait_applied(done.position, ["w1", "w2"], timeout=DEADLINE)
        assert [state.name for state in states] == ["w1", "w2"]
        # What lies before the beginning has been done by each of them.
        await log.store.wait_applied(1, timeout=DEADLINE)
        tasks.cancel_scope.cancel()


async def test_a_wait_for_a_consumer_that_is_not_there_ends(log: Log) -> None:
    done = await log.store.append("rule/R1", some(1))
    for position in (0, 1, done.position):
        with pytest.raises(NotAppliedError):
            await log.store.wait_applied(position, ["ghost"], timeout=0)


@pytest.mark.parametrize("rejected", [1, 2])
async def test_a_rejection_of_the_commit_ends_the_wait(log: Log, rejected: int) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: work(log, "bad", reject=rejected))
        done = await log.store.append("rule/R1", some(2))
        with pytest.raises(ChangeRejectedError, match="no such field") as caught:
            await log.store.wait_applied(done.position, ["bad"], timeout=DEADLINE)
        assert caught.value.position == log.base + rejected
        tasks.cancel_scope.cancel()


async def test_a_trim_ends_no_read_backwards_and_no_subscription_that_is_ahead(
    log: Log, tmp_path: Path
) -> None:
    await log.store.append("rule/R1", some(3))
    follower = log.store.subscribe_changes(types={"New"})
    backwards = log.store.read(backwards=True)
    newest = await anext(backwards)
    async with anyio.create_task_group() as tasks:
        seen: list[Event] = []

        async def follow() -> None:
            seen.extend(await take(follower, 1))

        tasks.start_soon(follow)
        await signalled(log.store.feed.waiting, lambda: follower.caught_up)
        await log.store.trim(newest.position + 1, archive=tmp_path / "late.export")
        await log.store.append("rule/R1", [NewEvent("New", 1)])
    assert [event.type for event in seen] == ["New"]
    assert log.places(await collect(backwards)) == [2, 1]


async def test_what_is_excluded_is_neither_read_nor_followed(log: Log) -> None:
    await log.store.append("rule/R1", [NewEvent("A", 1), NewEvent("B", 2)])
    await log.store.append("rule/R2", [NewEvent("A", 3), NewEvent("B", 4)])
    await log.store.append("other/1", [NewEvent("A", 5)])
    last = log.base + 5
    for chosen, expected in [
        ({"exclude_streams": "rule/"}, [5]),
        ({"exclude_streams": "rule/R1"}, [3, 4, 5]),
        ({"exclude_streams": ["rule/R1", "other/"]}, [3, 4]),
        ({"exclude_types": {"A"}}, [2, 4]),
        ({"exclude_types": ["A", "B"]}, []),
        ({"streams": "rule/", "exclude_streams": ["rule/R2"], "exclude_types": {"B"}}, [1]),
        ({"streams": "rule/R1", "exclude_types": {"A"}}, [2]),
        ({"streams": "rule/R1", "exclude_streams": "rule/"}, []),
        ({"types": {"A"}, "exclude_types": {"A"}}, []),
        ({"exclude_streams": "rule"}, None),
        ({"exclude_types": "A"}, None),
        ({"exclude_streams": [None]}, None),
        ({"exclude_streams": 5}, None),
    ]:
        if expected is None:
            with pytest.raises(ValueError, match=r"exclude_|stream"):
                log.store.read(**chosen)  # type: ignore[arg-type]
            continue
        read = log.store.read(**chosen)  # type: ignore[arg-type]
        assert await log.read(read) == expected, chosen
        back = log.store.read(backwards=True, **chosen)  # type: ignore[arg-type]
        assert await log.read(back) == expected[::-1], chosen
        changes = log.store.subscribe_changes(follow=False, **chosen)  # type: ignore[arg-type]
        assert await log.read(changes) == expected, chosen
        assert changes.position == last, chosen


async def test_a_consumer_moves_past_what_it_excludes(log: Log) -> None:
    follower = log.store.subscribe_changes(
        consumer="w", exclude_streams=["loud/", "log/", "old/"], exclude_types={"Noise"}
    )
    async with anyio.create_task_group() as tasks:
        seen: list[Event] = []

        async def follow() -> None:
            seen.extend([event async for event in follower])

        tasks.start_soon(follow)
        await signalled(log.store.feed.waiting, lambda: follower.caught_up)
        done = await log.store.append("loud/1", some(20))
        await log.store.wait_applied(done.position, ["w"], timeout=DEADLINE)
        done = await log.store.append("quiet/1", [NewEvent("Noise", 1), NewEvent("News", 2)])
        done = await log.store.append("quiet/1", [NewEvent("Noise", 3)])
        await log.store.wait_applied(done.position, ["w"], timeout=DEADLINE)
        await follower.aclose()
    assert [event.type for event in seen if event.position > log.base] == ["News"]
