"""A new inline view over a long history: steps, the writers beside it, and kills."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from support.processes import lines_until_killed
from support.totals import (
    COMMIT,
    NotedTotals,
    Totals,
    append_commits,
    assert_gapless,
    read_totals,
)

from eventstore import EventStore, NewEvent
from eventstore.storage import _step_size
from eventstore.storage.sqlite.backend import SqliteBackend
from eventstore.storage.sqlite.write_turn import MOST_PAUSE_SECONDS, WriteTurn
from eventstore.sync import EventStore as SyncStore

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


async def bring_up(url: str) -> list[tuple[int, int]]:
    """Open a log with a view; return the first and the last position of each batch."""
    view = NotedTotals()
    async with EventStore.open(url, inline=[view], notify="none"):
        return view.batches


async def test_the_first_computation_stops_inside_a_large_commit(log: str) -> None:
    await append_commits(log, 2)
    batches = await bring_up(log)
    assert_gapless(batches, 0, 2 * COMMIT)
    assert batches[0] == (1, _step_size.FIRST_STEP)
    assert read_totals(log) == {"n/0": COMMIT, "n/1": COMMIT}


async def test_a_view_that_was_at_the_head_gets_whole_commits(log: str) -> None:
    await append_commits(log, 1, size=5)
    await bring_up(log)
    await append_commits(log, 2)
    batches = await bring_up(log)
    assert batches == [(6, 5 + COMMIT), (6 + COMMIT, 5 + 2 * COMMIT)]
    assert read_totals(log) == {"n/0": 5 + COMMIT, "n/1": COMMIT}


async def test_a_killed_process_leaves_its_last_step_and_the_next_one_goes_on(log: str) -> None:
    await append_commits(log, 2)
    lines_until_killed(2, "new_view", log)
    async with EventStore.open(log) as store:
        [view] = (await store.status())["views"]
    at: int = view["position"]
    assert _step_size.FIRST_STEP <= at < 2 * COMMIT
    batches = await bring_up(log)
    assert_gapless(batches, at, 2 * COMMIT)
    assert at % COMMIT == 0 or batches[0][1] % COMMIT, "the next step went to the commit's end"
    assert read_totals(log) == {"n/0": COMMIT, "n/1": COMMIT}


def test_a_step_is_followed_by_a_pause_only_where_others_wait(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paused: list[float] = []
    monkeypatch.setattr(time, "sleep", paused.append)
    mine, other = WriteTurn(path), WriteTurn(path)
    mine.give_way(0.02)
    with other.hold():
        assert not paused
        mine.give_way(0.02)
        mine.give_way(3600.0)
    assert paused == [0.02, MOST_PAUSE_SECONDS]
    with other.hold():
        pass  # The question has left both locks free.
    mine.close()
    other.close()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite"])
async def test_steps_that_gain_nothing_give_way_to_no_one(
    log: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gave_way = 0
    monkeypatch.setattr(_step_size, "LARGEST_STEP", _step_size.FIRST_STEP)
    await append_commits(log, 1)
    with SyncStore.open(log, notify="none") as writer:

        def append(_: SqliteBackend, seconds: float) -> None:
            nonlocal gave_way
            gave_way += 1
            assert seconds > 0
            assert gave_way < COMMIT, "it never comes to the head"
            writer.append("n/2", [NewEvent("Counted", 1) for _ in range(100)])

        monkeypatch.setattr(SqliteBackend, "give_way", append)
        async with EventStore.open(log, inline=[Totals()], notify="none"):
            pass
    assert read_totals(log) == {"n/0": COMMIT, "n/2": 100 * gave_way}
