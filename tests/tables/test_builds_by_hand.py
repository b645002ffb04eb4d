"""A version is built now and swapped later, by hand; it goes on where it was; views are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support import builds
from support.processes import lines_until_killed
from support.totals import (
    DoubledTotals,
    NotedTotals,
    TimesTotals,
    Totals,
    append_numbers,
    read_table,
    read_totals,
    reader_of,
)

from eventstore import EventStore, NewEvent, ProjectionError, Upcasters
from eventstore.errors import ProjectionVersionError
from projections import ProjectionRunner
from projections.tables.checkpoints import building_table, projection_table
from projections.tables.dropping import drop_view
from projections.tables.ledger import ledger_table
from projections.tables.view_facts import read_views

if TYPE_CHECKING:
    from projections.tables.view_model import ViewVersion

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


async def versions(store: EventStore) -> list[tuple[int, int, bool]]:
    """Return the versions of the view with their positions, and whether they are builds."""
    found: list[ViewVersion] = await store.query(lambda connection, _: read_views(connection))
    return [(one.version, one.position, one.is_build) for one in found]


def doubled(rows: dict[str, int]) -> dict[str, int]:
    return {key: 2 * total for key, total in rows.items()}


async def test_a_version_is_built_now_and_swapped_later(log: str) -> None:
    before = frozenset(builds.leftovers(log))
    old = await builds.with_old_version(log, 2)
    told: list[tuple[int, int]] = []
    async with EventStore.open(log) as store:
        assert await store.build_view(DoubledTotals(), progress=lambda *places: told.append(places))
        assert told[-1] == (2 * builds.COMMIT, 2 * builds.COMMIT)
        assert read_totals(log) == old, "readers see the old version"
        assert await versions(store) == [
            (1, 2 * builds.COMMIT, False),
            (2, 2 * builds.COMMIT, True),
        ]
        async with EventStore.open(log, inline=[Totals()]) as older:
            await older.append("n/0", [NewEvent("Counted", 5)])
        built = builds.identities(log)["counts"]
        assert await store.swap_view(DoubledTotals())
        assert builds.live(log) in built, "its rows were copied"
        assert read_totals(log) == doubled(old | {"n/0": builds.COMMIT + 5})
        assert await versions(store) == [(2, 2 * builds.COMMIT + 1, False)]
        assert not await store.build_view(DoubledTotals())
        assert not await store.swap_view(DoubledTotals())
        with pytest.raises(ProjectionVersionError):
            await store.build_view(Totals())
    assert (read_table(log, building_table), builds.leftovers(log, before)) == ([], set())


@pytest.mark.slow
async def test_a_program_that_opens_the_log_swaps_what_was_built(log: str) -> None:
    old = await builds.with_old_version(log)
    async with EventStore.open(log) as store:
        await store.build_view(DoubledTotals())
        await store.append("n/0", [NewEvent("Counted", 1)])
    assert await builds.bring_up(log, 2) == [(builds.COMMIT + 1, builds.COMMIT + 1)]
    assert read_totals(log) == doubled(old | {"n/0": builds.COMMIT + 1})


async def test_a_build_that_was_interrupted_goes_on(log: str) -> None:
    old = await builds.with_old_version(log)

    def stop(position: int, head: int) -> None:
        raise KeyError(position, head)

    async with EventStore.open(log) as store:
        with pytest.raises(KeyError) as stopped:
            await store.build_view(TimesTotals(2), progress=stop)
        at = stopped.value.args[0]
        assert await versions(store) == [(1, builds.COMMIT, False), (2, at, True)]
        view = NotedTotals(2)
        await store.build_view(view)
        assert view.batches[0][0] == at + 1
        await store.swap_view(view)
    assert read_totals(log) == doubled(old)


@pytest.mark.slow
async def test_a_build_by_hand_goes_on_with_that_of_a_killed_process(log: str) -> None:
    old = await builds.with_old_version(log)
    lines_until_killed(3, "new_view", log, 2, 3)
    view = NotedTotals(2)
    async with EventStore.open(log) as store:
        await store.build_view(view)
        assert view.batches[0][0] > 1
        await store.swap_view(view)
    assert read_totals(log) == doubled(old)


@pytest.mark.slow
async def test_a_build_that_fails_leaves_the_old_version_and_nothing_else(log: str) -> None:
    before = frozenset(builds.leftovers(log))
    old = await builds.with_old_version(log)
    async with EventStore.open(log) as store:
        for method in (store.build_view, store.swap_view):
            with pytest.raises(ProjectionError, match=f"position {builds.COMMIT - 1}"):
                await method(builds.FailingTotals())
            assert await versions(store) == [(1, builds.COMMIT, False)]
    assert (read_totals(log), builds.leftovers(log, before)) == (old, set())


@pytest.mark.slow
async def test_the_store_appends_while_it_builds(log: str) -> None:
    old = await builds.with_old_version(log, 3)
    async with EventStore.open(log) as store:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(store.build_view, DoubledTotals())
            for _ in range(20):
                await store.append("n/0", [NewEvent("Counted", 1)])
        await store.swap_view(DoubledTotals())
        assert read_totals(log) == doubled(old | {"n/0": builds.COMMIT + 20})


async def test_a_followed_view_is_swapped_and_its_older_runner_steps_aside(log: str) -> None:
    async with EventStore.open(log) as store:
        first = await append_numbers(store, 5)
        await ProjectionRunner(store, Totals().at(log)).catch_up()
        await store.build_view(DoubledTotals())
        await store.swap_view(DoubledTotals())
        assert read_totals(log) == doubled(first)
        await store.append("n/1", [NewEvent("Counted", 1)])
        with pytest.raises(ProjectionVersionError):
            await ProjectionRunner(store, Totals().at(log)).catch_up()
        await ProjectionRunner(store, DoubledTotals().at(log)).catch_up()
        assert read_totals(log) == doubled(first | {"n/1": first["n/1"] + 1})


@pytest.mark.slow
async def test_a_view_behind_upcasters_is_built_beside_too(log: str) -> None:
    old = await builds.with_old_version(log)

    def lifting() -> Upcasters:
        upcasters = Upcasters()
        upcasters.register("Counted")(lambda data, _metadata: 5 * data)
        return upcasters

    async with EventStore.open(log, upcasters=lifting()) as store:
        await store.build_view(DoubledTotals())
    built = builds.identities(log)["counts"]
    async with EventStore.open(log, inline=[DoubledTotals()], upcasters=lifting()):
        assert builds.live(log) in built, "its rows were copied"
    assert read_totals(log) == {key: 10 * total for key, total in old.items()}


@pytest.mark.slow
async def test_a_build_is_dropped_and_the_live_version_stays(log: str) -> None:
    before = frozenset(builds.leftovers(log))
    old = await builds.with_old_version(log)
    async with EventStore.open(log) as store:
        await store.build_view(DoubledTotals())
        assert not await drop_view(store, "totals", 3)
        assert await drop_view(store, "totals", 2)
        assert await versions(store) == [(1, builds.COMMIT, False)]
    assert (read_totals(log), builds.leftovers(log, before)) == (old, set())


async def test_a_view_is_dropped_with_its_builds_and_nothing_of_others(log: str) -> None:
    before = frozenset(builds.leftovers(log))
    old = await builds.with_old_version(log)
    engine = reader_of(log)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE stranger (n INTEGER)")
    async with EventStore.open(log) as store:
        await store.build_view(DoubledTotals())
        assert await drop_view(store, "totals")
        assert await versions(store) == []
        assert not await drop_view(store, "totals")
    with engine.begin() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM stranger").scalar_one() == 0
    engine.dispose()
    assert read_totals(log) == {}
    for table in (projection_table, building_table, ledger_table):
        assert read_table(log, table) == []
    assert builds.leftovers(log, before) == set()
    async with EventStore.open(log, inline=[Totals()]):
        assert read_totals(log) == old
