"""Of the subscriptions that wait one wakes for a poll, and all of them have what it found."""

from __future__ import annotations

from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import some
from support.waiting import until

from eventstore import EventStore
from eventstore.changes import _page_follower
from eventstore.changes._poll_turn import PollTurn

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.changes.subscription import Subscription

WAITING = 100


def test_the_turn_goes_to_the_one_that_waits_longest() -> None:
    turn, told = PollTurn(), list[str]()
    for name in ("a", "b", "c"):
        turn.join(name, lambda name=name: told.append(name))  # type: ignore[misc]
    assert [turn.has(name) for name in ("a", "b", "c")] == [True, False, False]
    turn.leave("b")
    assert told == []
    turn.leave("a")
    assert (told, turn.has("c")) == (["c"], True)
    turn.leave("c")
    turn.leave("c")
    assert not turn.has("c")


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_polls_wake_one_and_serve_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_page_follower, "TRUST", 1e9)
    url = f"sqlite:///{tmp_path / 'log.db'}"
    async with (
        EventStore.open(url, notify="none", poll=0.2) as store,
        EventStore.open(url, notify="none") as other,
        AsyncExitStack() as stack,
    ):
        followers = [store.subscribe_changes() for _ in range(WAITING)]
        got: dict[Subscription, list[int]] = {one: [] for one in followers}

        async def follow(one: Subscription) -> None:
            async for event in one:
                got[one].append(event.data)

        def all_have(wanted: int) -> bool:
            return all(len(numbers) == wanted for numbers in got.values())

        tasks = await stack.enter_async_context(anyio.create_task_group())
        stack.callback(tasks.cancel_scope.cancel)
        for one in followers:
            tasks.start_soon(follow, one)
        await until(lambda: len(store.feed.poll_turn._waiting) == WAITING)
        tail, looks = store.feed.tail, 0
        needs_read = tail.needs_read

        def counted(position: int) -> bool:
            nonlocal looks
            looks += 1
            return needs_read(position)

        monkeypatch.setattr(tail, "needs_read", counted)
        reads = tail.reads
        await until(lambda: tail.reads >= reads + 4)
        # Two for each read, or some more where a read takes long; without turns it is all of them.
        assert looks < WAITING / 2 * (tail.reads - reads)
        for number in range(3):
            await other.append("a/1", some(1))
            await until(partial(all_have, number + 1))
            # The one that has the turn goes away: another one takes it over.
            first = next(iter(store.feed.poll_turn._waiting), None)
            for one in list(got):
                if one._pages is first:
                    await one.aclose()
                    del got[one]
        assert all(numbers == [0, 0, 0] for numbers in got.values())
