"""The runner: catch up, stop where it is told, follow, rebuild, report."""

from __future__ import annotations

import errno
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.logs import some
from support.positions import Positions
from support.waiting import DEADLINE, eventually, until

from eventstore import (
    CorruptEventError,
    Cursor,
    EventStore,
    HistoryDivergedError,
    StorageError,
)
from projections import ProjectionRunner, _view_run
from projections.directory import ForeignDirectoryError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from eventstore import Event

pytestmark = pytest.mark.anyio


@pytest.fixture
async def store() -> AsyncIterator[EventStore]:
    """Give a log of ten events in commits that end at 3, 4, 8 and 10."""
    async with EventStore.open("memory://") as store:
        for count in (3, 1, 4, 2):
            await store.append("a/1", some(count))
        yield store


@pytest.fixture
def projection() -> Positions:
    return Positions()


async def test_catching_up_gives_each_event_once(store: EventStore, projection: Positions) -> None:
    cursor = await ProjectionRunner(store, projection).catch_up()
    assert cursor == projection.cursor == (await store.head()).cursor
    assert projection.seen == list(range(1, 11))
    await ProjectionRunner(store, projection).catch_up()
    assert projection.seen == list(range(1, 11))
    assert (projection.opened, projection.closed) == (2, 2)


@pytest.mark.parametrize(
    ("until", "reached"), [(0, 0), (1, 0), (3, 3), (5, 4), (7, 4), (8, 8), (9, 8), (10, 10)]
)
async def test_it_stops_at_the_last_commit_that_ends_in_time(
    store: EventStore, projection: Positions, until: int, reached: int
) -> None:
    assert (await ProjectionRunner(store, projection).catch_up(until)).position == reached
    assert projection.seen == list(range(1, reached + 1))


@pytest.mark.parametrize(("until", "reached"), [(9, 8), (4, 4), (2, 0), (0, 0)])
async def test_a_projection_that_is_past_that_point_is_computed_again(
    store: EventStore, projection: Positions, until: int, reached: int
) -> None:
    follower = ProjectionRunner(store, projection)
    await follower.catch_up()
    cursor = await follower.catch_up(until)
    assert cursor.position == reached
    assert projection.cursor == cursor
    assert projection.seen == list(range(1, reached + 1))
    await follower.catch_up()
    assert projection.seen == list(range(1, 11))


async def test_a_point_beyond_the_head_is_the_head(
    store: EventStore, projection: Positions
) -> None:
    assert (await ProjectionRunner(store, projection).catch_up(1_000)).position == 10


async def test_a_batch_never_cuts_a_commit(
    store: EventStore, projection: Positions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_view_run, "BATCH_EVENTS", 2)
    await ProjectionRunner(store, projection).catch_up()
    assert projection.seen == list(range(1, 11))
    ends = [batch[-1] for batch in projection.batches if batch]
    assert set(ends) <= {3, 4, 8, 10}
    assert len(ends) > 2


async def test_progress_is_reported_up_to_the_end(
    store: EventStore, projection: Positions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_view_run, "BATCH_EVENTS", 1)
    seen: list[tuple[int, int]] = []
    follower = ProjectionRunner(store, projection, progress=lambda *at: seen.append(at))
    await follower.catch_up()
    assert seen == [(3, 10), (4, 10), (8, 10), (10, 10)]
    await follower.rebuild()
    assert seen == [(3, 10), (4, 10), (8, 10), (10, 10)] * 2


async def test_following_applies_each_commit_as_it_comes(
    store: EventStore, projection: Positions
) -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ProjectionRunner(store, projection, heal_seconds=0.01).run)
        for number in range(30):
            await store.append("a/1", some(number % 3 + 1))

        async def there() -> bool:
            return projection.cursor == (await store.head()).cursor

        await eventually(there)
        tasks.cancel_scope.cancel()
    assert projection.seen == list(range(1, 71))
    assert projection.closed == 1


async def test_an_event_that_cannot_be_applied_ends_the_run(
    store: EventStore, projection: Positions
) -> None:
    projection.fail_at = 8
    for follow in (
        ProjectionRunner(store, projection).catch_up,
        ProjectionRunner(store, projection).run,
    ):
        with anyio.fail_after(DEADLINE), pytest.raises(ZeroDivisionError):
            await follow()
    assert projection.closed == 2


async def test_a_rebuild_that_fails_leaves_the_old_projection(
    store: EventStore, projection: Positions
) -> None:
    await ProjectionRunner(store, projection).catch_up()
    before: list[Any] = [list(projection.seen), projection.cursor]

    def stop(position: int, target: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await ProjectionRunner(store, projection, progress=stop).rebuild()
    assert [projection.seen, projection.cursor] == before


async def test_a_projection_of_another_history_is_refused(
    store: EventStore, projection: Positions
) -> None:
    projection.cursor = Cursor((await store.head()).log_id, 10, b"x" * 32)
    await store.append("a/1", some(1))
    with pytest.raises(HistoryDivergedError):
        await ProjectionRunner(store, projection).catch_up()
    assert projection.seen == []


@pytest.mark.parametrize("position", [8, 10, 11])
async def test_a_projection_of_a_log_that_was_restored_from_a_copy_is_refused(
    store: EventStore, projection: Positions, position: int
) -> None:
    projection.cursor = Cursor((await store.head()).log_id, position, b"x" * 32)
    with pytest.raises(HistoryDivergedError):
        await ProjectionRunner(store, projection).catch_up()


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


class Failing(Positions):
    """A projection whose calls fail with ``error`` while there is one."""

    def __init__(self, error: Exception | None = None, *, opens: bool = False) -> None:
        super().__init__()
        self.error = error
        self.opens = opens

    def open(self, log_id: str) -> Cursor | None:
        """Own the projection, or fail."""
        if self.error is not None and not self.opens:
            raise self.error
        return super().open(log_id)

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Remember the positions, or fail."""
        if self.error is not None:
            raise self.error
        super().apply(events, cursor)


FULL = StorageError("view", "No space left on device")
FULL.__cause__ = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("error", "persist"),
    [
        (StorageError("view", "connection lost", transient=True), False),
        (StorageError("view", "the root was removed"), False),
        (ForeignDirectoryError("view", "is not empty"), True),
        (ZeroDivisionError("a bug"), True),
    ],
    ids=["lost", "removed", "foreign", "bug"],
)
async def test_a_run_outlives_what_fails_and_says_so_meanwhile(
    store: EventStore, error: Exception, *, persist: bool
) -> None:
    projection = Failing()
    keeper = ProjectionRunner(store, projection, heal_seconds=0.01)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(keeper.run, persist=persist))
        await until(lambda: len(projection.seen) == 10)
        projection.error = error
        await store.append("a/1", some(2))
        await until(lambda: keeper.trouble == str(error))
        projection.error = None
        await until(lambda: len(projection.seen) == 12)
        await until(lambda: keeper.trouble == "")
        tasks.cancel_scope.cancel()
    assert projection.seen == list(range(1, 13))


async def test_a_full_disk_is_waited_for_at_the_first_opening_too(store: EventStore) -> None:
    projection = Failing(FULL)
    keeper = ProjectionRunner(store, projection)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        await until(lambda: "No space" in keeper.trouble)
        projection.error = None
        await until(lambda: len(projection.seen) == 10)
        tasks.cancel_scope.cancel()


async def test_what_is_wrong_with_the_first_opening_is_raised(store: EventStore) -> None:
    error = StorageError("view", "is a file: name a directory")
    with pytest.raises(StorageError, match="name a directory"):
        await ProjectionRunner(store, Failing(error)).run(persist=True)


async def test_a_corrupt_event_ends_the_run(store: EventStore) -> None:
    projection = Failing(CorruptEventError("log", 11, "altered"), opens=True)
    with anyio.fail_after(DEADLINE), pytest.raises(CorruptEventError):
        await ProjectionRunner(store, projection).run()
