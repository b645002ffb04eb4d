"""Rebuilds: the same rows again, unseen until they are complete."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.totals import (
    TimesTotals,
    Totals,
    append_numbers,
    read_totals,
)
from support.waiting import take

from eventstore import Event, EventStore
from eventstore.errors import ProjectionVersionError, TakenOverError
from projections import ProjectionRunner

if TYPE_CHECKING:
    from sqlalchemy import Connection

pytestmark = pytest.mark.anyio


async def test_a_rebuild_gives_the_same_rows(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        projector = ProjectionRunner(store, Totals().at(target))
        before = await projector.catch_up()
        assert await projector.rebuild() == before
        assert read_totals(target) == expected


async def test_an_interrupted_rebuild_leaves_the_old_projection(log: str, target: str) -> None:
    class Stubborn(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            if event.position == 30:
                raise KeyboardInterrupt
            super().handle(connection, event)

    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        with pytest.raises(KeyboardInterrupt):
            await ProjectionRunner(store, Stubborn().at(target)).rebuild()
        assert read_totals(target) == expected
        await ProjectionRunner(store, Totals().at(target)).rebuild()
        assert read_totals(target) == expected


@pytest.mark.promise("projection")
async def test_the_old_projection_serves_until_the_new_one_is_complete(
    log: str, target: str
) -> None:
    seen: list[dict[str, int]] = []

    class Watched(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            super().handle(connection, event)
            seen.append(read_totals(target))

    async with EventStore.open(log) as store:
        expected = await append_numbers(store, 10)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        await ProjectionRunner(store, Watched().at(target)).rebuild()
    assert seen == [expected] * 10


async def test_a_rebuild_that_is_begun_again_starts_from_nothing(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        projection = Totals().at(target)
        pages = [page async for page in store.subscribe_changes(follow=False).commits()]
        projection.open(pages[0][0].log_id)
        for begun in (pages[:1], pages):
            await anyio.to_thread.run_sync(projection.begin_rebuild)
            for cursor, events in begun:
                projection.apply(events, cursor)
        assert read_totals(target) == expected
        projection.finish_rebuild()
        projection.close()
    assert read_totals(target) == expected


async def test_a_newer_runner_ends_a_rebuild_that_goes_on(log: str, target: str, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("a newer runner waits for the rebuild: a file has one writer at a time")
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        old, new = Totals().at(target), Totals().at(target)
        ((cursor, events),) = await take(store.subscribe_changes().commits(), 1)
        old.open(cursor.log_id)
        old.begin_rebuild()
        old.apply(events, cursor)
        await ProjectionRunner(store, new).catch_up()
        with pytest.raises(TakenOverError):
            old.apply(events, cursor)
        with pytest.raises(TakenOverError):
            old.finish_rebuild()
        old.close()
    assert read_totals(target) == expected


async def test_an_older_runner_leaves_a_newer_version_that_is_being_computed(
    log: str, target: str, kind: str
) -> None:
    if kind == "sqlite":
        pytest.skip("the older runner waits for the newer one: a file has one writer at a time")
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, TimesTotals(1).at(target)).catch_up()
        newer = TimesTotals(2).at(target)
        ((cursor, events),) = await take(store.subscribe_changes().commits(), 1)
        newer.open(cursor.log_id)
        newer.begin_rebuild()
        for run in (1, 2):
            with pytest.raises(ProjectionVersionError) as refused:
                await ProjectionRunner(store, TimesTotals(1).at(target)).catch_up()
            assert (refused.value.mine, refused.value.stored) == (1, 2), run
        assert read_totals(target) == expected
        newer.apply(events, cursor)
        newer.finish_rebuild()
        newer.close()
        await ProjectionRunner(store, TimesTotals(2).at(target)).catch_up()
        double = {key: 2 * total for key, total in expected.items()}
        assert read_totals(target) == double
        dying = TimesTotals(3).at(target)
        dying.open(cursor.log_id)
        dying.begin_rebuild()
        dying.close()  # Its session ends, and with it what it has told.
        await ProjectionRunner(store, TimesTotals(2).at(target)).catch_up()
        assert read_totals(target) == double
