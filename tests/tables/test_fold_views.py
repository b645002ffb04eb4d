"""Folds beside other views of one runner, and folds without an event loop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import anyio
import msgspec
import pytest
from support.totals import Totals, read_totals
from support.waiting import DEADLINE, until

from eventstore import (
    ConfigError,
    EventStore,
    EventTypes,
    HistoryGoneError,
    NotAppliedError,
    ProjectionError,
    StoreClosedError,
)
from eventstore import NewEvent as New
from eventstore import sync as threads
from projections import Fold, FoldRunner, FoldView, ProjectionRunner, handles
from projections import sync as blocking

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from eventstore import Event


class Counted(msgspec.Struct):
    number: int


class Book(msgspec.Struct):
    of: dict[str, int] = {}
    events: int = 0


class Sums(Fold[Book]):
    """The sum of each stream, changed in place; 13 is a number that it cannot add."""

    name, version = "sums", 1

    def initial(self) -> Book:
        return Book()

    @handles("Counted")
    def counted(self, state: Book, event: Event, number: int) -> None:
        state.of[event.stream] = state.of.get(event.stream, 0) + number
        state.events += 1
        if number == 13:
            raise ZeroDivisionError("thirteen")


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[EventStore]:
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db", notify="none") as store:
        yield store


async def count(store: EventStore, *numbers: int) -> None:
    """Append each number with a second one, as one commit."""
    for number in numbers:
        await store.append(f"n/{number % 2}", [New("Counted", number), New("Counted", 1)])


def sums(*numbers: int) -> dict[str, int]:
    """Return what the streams sum up to, computed without an event."""
    keys = {f"n/{number % 2}" for number in numbers}
    return {key: sum(number + 1 for number in numbers if f"n/{number % 2}" == key) for key in keys}


@pytest.mark.anyio
@pytest.mark.promise("projection")
async def test_a_fold_follows_beside_tables_and_is_resumed(
    store: EventStore, tmp_path: Path
) -> None:
    target = f"sqlite:///{tmp_path}/totals.db"
    await count(store, 1, 2)
    view = FoldView(store, Sums())
    seen: list[int] = []
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ProjectionRunner(store, Totals().at(target), view).run)
        await until(lambda: view.state.of == sums(1, 2))
        for number in (3, 4, 5):
            await count(store, number)
            seen.append(view.state.events)
        await until(lambda: view.state.of == sums(1, 2, 3, 4, 5) == read_totals(target))
        tasks.cancel_scope.cancel()
    assert not [events for events in seen if events % 2], "readers see whole commits"
    assert view.cursor == (await store.head()).cursor

    await count(store, 6)
    again = FoldView(store, Sums())
    assert again.open((await store.head()).log_id) == view.cursor, "a snapshot was stored"
    await ProjectionRunner(store, again).catch_up()
    assert again.state.of == sums(1, 2, 3, 4, 5, 6)
    await ProjectionRunner(store, again).rebuild()
    assert again.state == Book(sums(1, 2, 3, 4, 5, 6), 12)
    assert (await FoldRunner(store, Sums()).catch_up()) == again.state


@pytest.mark.anyio
async def test_a_fold_that_stops_leaves_the_others_going(store: EventStore, tmp_path: Path) -> None:
    target = f"sqlite:///{tmp_path}/totals.db"
    view = FoldView(store, Sums())
    runner = ProjectionRunner(store, view, Totals().at(target))
    async with anyio.create_task_group() as tasks:
        with pytest.raises(NotAppliedError, match="view sums was never seen"):
            await view.at_least((await store.head()).cursor, timeout=0)
        tasks.start_soon(runner.run)
        done = await store.append("n/1", [New("Counted", 1), New("Counted", 1)])
        await view.at_least(done.cursor, timeout=DEADLINE)
        assert view.state.of == sums(1)
        await count(store, 13, 2)
        with pytest.raises(ProjectionError, match="'sums' stopped at position 3"):
            await view.at_least((await store.head()).cursor, timeout=DEADLINE)
        await until(lambda: read_totals(target) == sums(1, 13, 2))
        await until(lambda: bool(runner.stopped))
        tasks.cancel_scope.cancel()
    assert (view.state, view.cursor) == (Book(), None), "no half of a change is left"
    with pytest.raises(ProjectionError, match="'sums' stopped at position 3"):
        raise runner.stopped["sums"]


@pytest.mark.anyio
@pytest.mark.slow
async def test_what_is_redacted_leaves_a_fold_that_a_runner_keeps(
    store: EventStore, tmp_path: Path
) -> None:
    await count(store, 1, 2)
    view = FoldView(store, Sums(), snapshot_every=1)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ProjectionRunner(store, view).run)
        await until(lambda: view.state.of == sums(1, 2))
        await store.redact(1, reason="secret")
        await until(lambda: view.state.of == {"n/1": 1, "n/0": 3})
        tasks.cancel_scope.cancel()
    again = FoldView(store, Sums())
    await ProjectionRunner(store, again).catch_up()
    assert again.state == view.state

    await store.trim(3, archive=tmp_path / "archive")
    await count(store, 4)
    await ProjectionRunner(store, again).catch_up()
    assert again.state.of == {"n/1": 1, "n/0": 3 + 5}
    with pytest.raises(HistoryGoneError):
        await ProjectionRunner(store, again).rebuild()
    assert again.state.of == {"n/1": 1, "n/0": 3 + 5}
    newer = type("NewerSums", (Sums,), {"version": 2})
    with pytest.raises(HistoryGoneError):
        await ProjectionRunner(store, FoldView(store, newer())).catch_up()


def test_what_makes_no_view_is_refused() -> None:
    store = EventStore.open("memory://")
    with pytest.raises(ConfigError, match="snapshot_every=0"):
        FoldView(store, Sums(), snapshot_every=0)
    idle = type("Idle", (Fold,), {"name": "idle", "initial": lambda self: 0})
    with pytest.raises(ConfigError, match="does nothing with events"):
        FoldView(store, idle())


class Left(Fold[int]):
    name, version = "left", 1
    event_types = EventTypes(Counted)

    def initial(self) -> int:
        return 10

    @handles(Counted)
    def counted(self, left: int, event: Event, taken: Counted) -> int:
        return left - taken.number


@pytest.mark.parametrize("url", ["memory://", "sqlite:///{}/log.db"])
def test_folds_and_aggregates_are_there_without_an_event_loop(url: str, tmp_path: Path) -> None:
    with threads.EventStore.open(url.format(tmp_path), notify="none") as store:
        halls = blocking.Aggregates(store, Left(), "hall", snapshot_every=2)

        def take(number: int) -> None:
            halls.execute("1", lambda left: [Counted(number)] if left >= number else [])

        workers = [threading.Thread(target=take, args=(number,)) for number in (1, 2, 3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert (halls.load("1").state, halls.load("1").version) == (4, 3)
        assert halls.execute("1", lambda _: []) is None

        left = blocking.FoldRunner(store, Left())
        assert left.cursor is None
        assert left.catch_up() == left.state == 4
        left.save()
        again = blocking.FoldRunner(store, Left())
        assert again.catch_up() == 4
        assert again.cursor == store.head().cursor
        assert again.verify()


def test_a_fold_that_follows_in_a_thread_ends_with_the_store(tmp_path: Path) -> None:
    ended: list[BaseException] = []
    with threads.EventStore.open(f"sqlite:///{tmp_path}/log.db", notify="none") as store:
        left = blocking.FoldRunner(store, Left())

        def follow() -> None:
            try:
                left.run()
            except StoreClosedError as error:
                ended.append(error)

        thread = threading.Thread(target=follow)
        thread.start()
        store.append("hall/1", [New("Counted", {"number": 3})])
        done = threading.Event()
        for _ in range(int(DEADLINE * 100)):
            if left.state == 7:
                break
            done.wait(0.01)
        assert left.state == 7
    thread.join(DEADLINE)
    assert len(ended) == 1
