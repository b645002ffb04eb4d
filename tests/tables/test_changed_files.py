"""The file of a followed projection that is removed or replaced under its runner."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import anyio
import pytest
from sqlalchemy.exc import SQLAlchemyError
from support.totals import Totals, append_numbers, project, read_totals
from support.waiting import eventually

from eventstore import EventStore
from eventstore.errors import FileChangedError, TakenOverError
from eventstore.log.operations import Query
from projections import ProjectionRunner

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.mark.promise("projection")
@pytest.mark.parametrize("change", ["removed", "replaced"])
async def test_nothing_is_applied_to_a_file_that_has_lost_its_name(
    tmp_path: Path, url: str, change: str
) -> None:
    view, other = tmp_path / "view.db", tmp_path / "other.db"
    async with EventStore.open(url, notify="none") as store:
        await append_numbers(store)
        await project(url, f"sqlite:///{other}", Totals())
        before = other.read_bytes()
        tables = Totals().at(f"sqlite:///{view}")
        tables.open((await store.head()).log_id)
        page = await store.feed.page(Query(whole_commits=True))
        tables.apply(page.events, page.through)
        view.unlink()
        if change == "replaced":
            shutil.copy(other, view)
        with pytest.raises(FileChangedError, match=change):
            tables.apply(page.events, page.through)
        tables.close()
    if change == "replaced":
        assert view.read_bytes() == before


@pytest.mark.promise("projection")
async def test_a_runner_fills_a_new_file_where_its_view_was_removed(
    tmp_path: Path, url: str
) -> None:
    view = tmp_path / "view.db"
    target = f"sqlite:///{view}"
    async with (
        EventStore.open(url, notify="none", poll=0.05) as store,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(ProjectionRunner(store, Totals().at(target)).run)
        expected = await append_numbers(store)

        async def reached() -> bool:
            if not view.exists():
                return False
            try:
                return await anyio.to_thread.run_sync(read_totals, target) == expected
            except SQLAlchemyError:  # The new file has no tables yet.
                return False

        await eventually(reached, 60)
        for suffix in ("", "-wal", "-shm"):
            view.with_name(view.name + suffix).unlink(missing_ok=True)
        more = await append_numbers(store)
        expected = {name: 2 * total for name, total in more.items()}
        await eventually(reached, 60)
        tasks.cancel_scope.cancel()


@pytest.mark.promise("projection")
async def test_a_file_that_comes_back_is_no_sign_of_another_runner(
    tmp_path: Path, url: str
) -> None:
    view, away = tmp_path / "view.db", tmp_path / "away.db"
    async with EventStore.open(url, notify="none") as store:
        log_id = (await store.head()).log_id
    tables = Totals().at(f"sqlite:///{view}")
    for _ in range(2):
        tables.open(log_id)
        tables.close()
    view.rename(away)
    tables.reopen(log_id)
    tables.close()
    away.rename(view)
    tables.reopen(log_id)
    rival = Totals().at(f"sqlite:///{view}")
    rival.open(log_id)
    rival.close()
    with pytest.raises(TakenOverError):
        tables.reopen(log_id)
