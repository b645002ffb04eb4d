"""Waiting for a view: by its checkpoint, and in the log's database as for a consumer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.totals import DoubledTotals, Totals, append_numbers, project, read_totals
from support.waiting import DEADLINE

from eventstore import (
    Cursor,
    EventStore,
    HistoryDivergedError,
    NewEvent,
    NotAppliedError,
    ProjectionError,
)
from projections import ProjectionRunner

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


async def test_a_reader_waits_until_the_view_shows_its_write(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        for _ in range(2):
            done = await store.append("n/1", [NewEvent("Counted", 1)])
            reader = Totals().at(target)
            seen: list[dict[str, int]] = []

            async def read(reader=reader, done=done, seen=seen) -> None:  # type: ignore[no-untyped-def]
                await reader.at_least(done.cursor, timeout=DEADLINE)
                seen.append(read_totals(target))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(read)
                await anyio.wait_all_tasks_blocked()
                assert seen == []
                await ProjectionRunner(store, Totals().at(target)).catch_up()
            assert seen == [{"n/1": done.position}]


async def test_the_runners_own_view_answers_without_its_database(
    log: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(log) as store:
        done = await store.append("n/1", [NewEvent("Counted", 1)])
        view = Totals().at(target)
        await ProjectionRunner(store, view).catch_up()
        monkeypatch.setattr("projections.tables.followed.wait_at_least", None)
        await view.at_least(done.cursor, timeout=0)


async def test_what_older_tables_show_and_what_another_history_has_is_not_seen(
    log: str, target: str
) -> None:
    async with EventStore.open(log) as store:
        done = await store.append("n/1", [NewEvent("Counted", 1)])
        await project(log, target, Totals())
        newer = DoubledTotals().at(target)
        with pytest.raises(NotAppliedError, match="view totals is at 1"):
            await newer.at_least(done.cursor, timeout=0)
        newer.open(done.cursor.log_id)
        with pytest.raises(NotAppliedError):
            await newer.at_least(done.cursor, timeout=0)
        newer.close()
        await project(log, target, DoubledTotals())
        await Totals().at(target).at_least(done.cursor, timeout=0)
        other = Cursor(done.cursor.log_id, done.position, b"other")
        with pytest.raises(HistoryDivergedError):
            await Totals().at(target).at_least(other, timeout=0)


async def test_what_is_waited_for_in_vain_is_named(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 3)
        early = (await store.head()).cursor
        with pytest.raises(NotAppliedError, match="view totals was never seen"):
            await Totals().at(target).at_least(early, timeout=0)
        await project(log, target, Totals())
        await store.append("n/1", [NewEvent("Bad", 1)])
        late = (await store.head()).cursor
        with pytest.raises(NotAppliedError, match="view totals is at 3"):
            await Totals().at(target).at_least(late, timeout=0)
        with pytest.raises(ProjectionError):
            await project(log, target, Totals())
        with pytest.raises(ProjectionError, match="position 4: ZeroDivisionError"):
            await Totals().at(target).at_least(late, timeout=DEADLINE)
        await Totals().at(target).at_least(early, timeout=0)
        with pytest.raises(HistoryDivergedError):
            await Totals().at(target).at_least(Cursor("x" * 32, 1, b""), timeout=0)


async def test_waiting_makes_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotAppliedError):
        await Totals().at(f"sqlite:///{tmp_path}/v.db").at_least(Cursor("x", 1, b""), timeout=0)
    assert list(tmp_path.iterdir()) == []


async def behind_by_one(
    store: EventStore, log: str, place: str, names: list[str] | None
) -> Mapping[str, int | None]:
    """Return what is waited for once a fourth event follows three that were applied."""
    await append_numbers(store, 3)
    await project(log, place, Totals())
    assert await store.wait_applied(3, views=names, timeout=0) == []
    await store.append("n/1", [NewEvent("Counted", 1)])
    with pytest.raises(NotAppliedError) as late:
        await store.wait_applied(4, views=names, timeout=0)
    assert await store.wait_applied(4, consumers=[], timeout=0) == []
    return late.value.behind


@pytest.mark.parametrize("names", [None, ["totals"]])
async def test_views_of_the_log_are_waited_for_like_consumers(
    log: str, names: list[str] | None
) -> None:
    async with EventStore.open(log) as store:
        assert await behind_by_one(store, log, log, names) == {"view totals": 3}
        with pytest.raises(NotAppliedError, match="view ghost was never seen"):
            await store.wait_applied(1, views=["ghost"], timeout=0)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ProjectionRunner(store, Totals().at(log)).catch_up)
            await store.wait_applied(4, views=names, timeout=DEADLINE)
        await store.append("n/1", [NewEvent("Bad", 1)])
        with pytest.raises(ProjectionError):
            await project(log, log, Totals())
        with pytest.raises(ProjectionError, match="position 5"):
            await store.wait_applied(5, views=names, timeout=DEADLINE)


@pytest.mark.parametrize("names", [None, ["totals"]])
async def test_views_in_other_databases_are_waited_for_like_consumers(
    tmp_path: Path, names: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("projections.elsewhere.WAIT_SECONDS", 600.0)  # Also on a busy machine.
    log, target = f"sqlite:///{tmp_path}/log.db", f"sqlite:///{tmp_path}/target.db"
    async with EventStore.open(log) as store:
        behind = await behind_by_one(store, log, target, names)
        assert behind == {f"view totals in {target}": 3}
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ProjectionRunner(store, Totals().at(target)).catch_up)
            await store.wait_applied(4, views=names, timeout=DEADLINE)
        # One of that name in the log's database is waited for as well.
        await project(log, log, Totals())
        await store.append("n/1", [NewEvent("Bad", 1)])
        with pytest.raises(NotAppliedError) as late:
            await store.wait_applied(5, views=names, timeout=0)
        assert late.value.behind == {"view totals": 4, f"view totals in {target}": 4}
        with pytest.raises(ProjectionError):
            await project(log, target, Totals())
        with pytest.raises(ProjectionError, match="position 5"):
            await store.wait_applied(5, views=names, timeout=DEADLINE)


async def test_an_inline_view_is_waited_for_by_name_only(log: str) -> None:
    async with EventStore.open(log, inline=[Totals()]):
        pass
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        assert await store.wait_applied(1, timeout=0) == []
        with pytest.raises(NotAppliedError):
            await store.wait_applied(1, views=["totals"], timeout=0)
