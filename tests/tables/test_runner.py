"""The runner: catch up, stop where it is told, follow, rebuild, report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import some
from support.waiting import eventually

from eventstore import Cursor, EventStore, HistoryDivergedError
from projections import ProjectionRunner, runner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from eventstore import Event

pytestmark = pytest.mark.anyio


class Positions:
    """A projection in memory: the positions it was given, and its cursor."""

    name = "positions"

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.batches: list[list[int]] = []
        self.cursor: Cursor | None = None
        self.opened = self.closed = 0
        self.fail_at = 0
        self._new: Positions | None = None

    def open(self, log_id: str) -> Cursor | None:
        """Own the view."""
        self.opened += 1
        return self.cursor

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Remember the positions."""
        if self._new is not None:
            self._new.apply(events, cursor)
            return
        positions = [event.position for event in events]
        if self.fail_at in positions:
            raise ZeroDivisionError
        self.seen += positions
        self.batches.append(positions)
        self.cursor = cursor

    def begin_rebuild(self) -> None:
        """Start from nothing, unseen."""
        self._new = Positions()

    def finish_rebuild(self) -> None:
        """Show what was rebuilt."""
        assert self._new is not None
        self.seen, self.cursor, self._new = self._new.seen, self._new.cursor, None

    def close(self) -> None:
        """Give the view up."""
        self.closed += 1
        self._new = None


@pytest.fixture
async def store() -> AsyncIterator[EventStore]:
    """Give a log of ten events in commits that end at 3, 4, 8 and 10."""
    async with EventStore.open("memory://") as store:
        for count in (3, 1, 4, 2):
            await store.append("a/1", some(count))
        yield store


@pytest.fixture
def view() -> Positions:
    return Positions()


async def test_catching_up_gives_each_event_once(store: EventStore, view: Positions) -> None:
    cursor = await ProjectionRunner(store, view).catch_up()
    assert cursor == view.cursor == (await store.head()).cursor
    assert view.seen == list(range(1, 11))
    await ProjectionRunner(store, view).catch_up()
    assert view.seen == list(range(1, 11))
    assert (view.opened, view.closed) == (2, 2)


@pytest.mark.parametrize(
    ("until", "reached"), [(0, 0), (1, 0), (3, 3), (5, 4), (7, 4), (8, 8), (9, 8), (10, 10)]
)
async def test_it_stops_at_the_last_commit_that_ends_in_time(
    store: EventStore, view: Positions, until: int, reached: int
) -> None:
    assert (await ProjectionRunner(store, view).catch_up(until)).position == reached
    assert view.seen == list(range(1, reached + 1))


@pytest.mark.parametrize(("until", "reached"), [(9, 8), (4, 4), (2, 0), (0, 0)])
async def test_a_view_that_is_past_that_point_is_computed_again(
    store: EventStore, view: Positions, until: int, reached: int
) -> None:
    follower = ProjectionRunner(store, view)
    await follower.catch_up()
    cursor = await follower.catch_up(until)
    assert cursor.position == reached
    assert view.cursor == cursor
    assert view.seen == list(range(1, reached + 1))
    await follower.catch_up()
    assert view.seen == list(range(1, 11))


async def test_a_point_beyond_the_head_is_the_head(store: EventStore, view: Positions) -> None:
    assert (await ProjectionRunner(store, view).catch_up(1_000)).position == 10


async def test_a_batch_never_cuts_a_commit(
    store: EventStore, view: Positions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BATCH_EVENTS", 2)
    await ProjectionRunner(store, view).catch_up()
    assert view.seen == list(range(1, 11))
    ends = [batch[-1] for batch in view.batches if batch]
    assert set(ends) <= {3, 4, 8, 10}
    assert len(ends) > 2


async def test_progress_is_reported_up_to_the_end(
    store: EventStore, view: Positions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "BATCH_EVENTS", 1)
    seen: list[tuple[int, int]] = []
    follower = ProjectionRunner(store, view, progress=lambda *at: seen.append(at))
    await follower.catch_up()
    assert seen == [(3, 10), (4, 10), (8, 10), (10, 10)]
    await follower.rebuild()
    assert seen == [(3, 10), (4, 10), (8, 10), (10, 10)] * 2


async def test_following_applies_each_commit_as_it_comes(
    store: EventStore, view: Positions
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ProjectionRunner(store, view, heal_seconds=0.01).run)
        for number in range(30):
            await store.append("a/1", some(number % 3 + 1))

        async def there() -> bool:
            return view.cursor == (await store.head()).cursor

        await eventually(there)
        tasks.cancel_scope.cancel()
    assert view.seen == list(range(1, 71))
    assert view.closed == 1


async def test_an_event_that_cannot_be_applied_ends_the_run(
    store: EventStore, view: Positions
) -> None:
    view.fail_at = 8
    for follow in (ProjectionRunner(store, view).catch_up, ProjectionRunner(store, view).run):
        with anyio.fail_after(10), pytest.raises(ZeroDivisionError):
            await follow()
    assert view.closed == 2


async def test_a_rebuild_that_fails_leaves_the_old_view(store: EventStore, view: Positions) -> None:
    await ProjectionRunner(store, view).catch_up()
    before: list[Any] = [list(view.seen), view.cursor]

    def stop(position: int, target: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ProjectionRunner(store, view, progress=stop).rebuild()
    assert [view.seen, view.cursor] == before


async def test_a_view_of_another_history_is_refused(store: EventStore, view: Positions) -> None:
    view.cursor = Cursor((await store.head()).log_id, 10, b"x" * 32)
    await store.append("a/1", some(1))
    with pytest.raises(HistoryDivergedError):
        await ProjectionRunner(store, view).catch_up()
    assert view.seen == []


@pytest.mark.parametrize("position", [8, 10, 11])
async def test_a_view_of_a_log_that_was_restored_from_a_copy_is_refused(
    store: EventStore, view: Positions, position: int
) -> None:
    view.cursor = Cursor((await store.head()).log_id, position, b"x" * 32)
    with pytest.raises(HistoryDivergedError):
        await ProjectionRunner(store, view).catch_up()


async def test_what_was_damaged_is_mended_from_its_events(store: EventStore) -> None:
    class Fragile(Positions):
        mended: list[int]

        def damaged(self) -> list[int]:
            return [2, 9] if self.seen else []

        def mend(self, events: Sequence[Event]) -> None:
            self.mended = [event.position for event in events]

    fragile = Fragile()
    await ProjectionRunner(store, fragile).catch_up()
    assert fragile.mended == [2, 9]
