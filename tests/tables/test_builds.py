"""A new version of an inline view: built beside the old one, gone on with after a kill, swapped."""

from __future__ import annotations

import threading
from collections import Counter
from itertools import islice
from random import Random

import pytest
from support.builds import (
    COMMIT,
    FailingTotals,
    bring_up,
    identities,
    leftovers,
    live,
    with_old_version,
)
from support.marks import ON_ASYNCIO
from support.processes import child, lines, lines_until_killed
from support.totals import (
    NotedTotals,
    TimesTotals,
    append_commits,
    assert_gapless,
    read_table,
    read_totals,
    reader_of,
)

from eventstore import EventStore, NewEvent, ProjectionError
from eventstore.sync import EventStore as SyncStore
from projections.tables.checkpoints import building_table, projection_table

pytestmark = [pytest.mark.anyio, pytest.mark.promise("projection"), ON_ASYNCIO]


async def test_a_killed_build_is_gone_on_with_and_becomes_the_table(log: str) -> None:
    before = frozenset(leftovers(log))
    old = await with_old_version(log, 2)
    lines_until_killed(3, "new_view", log, 2, 3)
    [(_, version, _, at, *_)] = read_table(log, building_table)
    assert isinstance(at, int)
    assert (version, at > 0, read_totals(log)) == (2, True, old)
    built = identities(log)["counts"] - {live(log)}
    batches = await bring_up(log, 2)
    assert_gapless(batches, at, 2 * COMMIT)
    assert read_totals(log) == {key: 2 * total for key, total in old.items()}
    assert live(log) in built, "its rows were copied"
    assert (read_table(log, building_table), leftovers(log, before)) == ([], set())


@pytest.mark.slow
async def test_an_abandoned_build_is_removed_by_a_higher_version(log: str) -> None:
    before = frozenset(leftovers(log))
    old = await with_old_version(log)
    lines_until_killed(3, "new_view", log, 2, 3)
    assert leftovers(log, before)
    assert (await bring_up(log, 3))[0][0] == 1
    assert read_totals(log) == {key: 3 * total for key, total in old.items()}
    assert (read_table(log, building_table), leftovers(log, before)) == ([], set())


@pytest.mark.slow
async def test_a_version_that_was_abandoned_is_removed_by_the_one_that_stayed(log: str) -> None:
    before = frozenset(leftovers(log))
    old = await with_old_version(log)
    lines_until_killed(3, "new_view", log, 2, 3)
    lines_until_killed(3, "new_view", log, 3, 3)
    await bring_up(log, 3)
    async with EventStore.open(log, inline=[TimesTotals(2)], notify="none"):
        assert read_totals(log) == {key: 3 * total for key, total in old.items()}
    assert leftovers(log, before) == set()


@pytest.mark.slow
async def test_a_build_that_has_lost_a_table_begins_again(log: str) -> None:
    old = await with_old_version(log)
    before = frozenset(leftovers(log))
    lines_until_killed(3, "new_view", log, 2, 3)
    engine = reader_of(log)
    with engine.begin() as connection:
        for name in leftovers(log, before):
            table = f"{name}.counts" if connection.dialect.name == "postgresql" else name
            connection.exec_driver_sql(f"DROP TABLE {table}")
    engine.dispose()
    assert (await bring_up(log, 2))[0][0] == 1
    assert read_totals(log) == {key: 2 * total for key, total in old.items()}


async def test_a_handler_that_fails_ends_the_build_and_leaves_the_old_version(log: str) -> None:
    before = frozenset(leftovers(log))
    old = await with_old_version(log)
    with pytest.raises(ProjectionError):
        async with EventStore.open(log, inline=[FailingTotals()], notify="none"):
            pass
    assert (read_totals(log), leftovers(log, before)) == (old, set())
    assert (await bring_up(log, 2))[0][0] == 1, "rows of the failed handler were kept"


@pytest.mark.slow
async def test_processes_of_one_version_build_it_together(log: str) -> None:
    old = await with_old_version(log, 2)
    together = threading.Barrier(2)
    views = [NotedTotals(2), NotedTotals(2)]

    def open_with(view: NotedTotals) -> None:
        together.wait()
        with SyncStore.open(log, inline=[view], notify="none") as store:
            store.append("n/9", [NewEvent("Counted", 1)])

    threads = [threading.Thread(target=open_with, args=[view]) for view in views]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert read_totals(log) == {key: 2 * total for key, total in old.items()} | {"n/9": 4}
    applied: Counter[int] = Counter()
    for view in views:
        for first, last in view.batches:
            applied.update(range(first, last + 1))
    assert set(applied) == set(range(1, 2 * COMMIT + 3))


@pytest.mark.parametrize(
    "kills",
    [
        pytest.param(5, marks=pytest.mark.slow),
        pytest.param(100, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
async def test_kills_at_any_statement_leave_one_whole_version(log: str, kills: int) -> None:
    before, dice = frozenset(leftovers(log)), Random(kills)
    await append_commits(log, 3, size=60)
    rows = {f"n/{number}": 60 for number in range(3)}
    version, swapped = 1, 0
    await bring_up(log, version)
    for number in range(kills):
        with child("said_statements", log, version + 1) as process:
            # Where it is open before, it is killed then, or has ended.
            for _ in islice(lines(process), dice.randint(40, 900)):
                pass
        [(_, stored, _, at, *_)] = read_table(log, projection_table)
        assert stored in {version, version + 1}
        assert read_totals(log) == {key: stored * total for key, total in rows.items()}, number
        assert at == 180
        swapped += stored != version
        version = stored
    assert kills < 100 or 10 < swapped < kills - 10, "no kill came before the swap, or after it"
    await bring_up(log, version + 1)
    assert read_totals(log) == {key: (version + 1) * total for key, total in rows.items()}
    assert (read_table(log, building_table), leftovers(log, before)) == ([], set())
