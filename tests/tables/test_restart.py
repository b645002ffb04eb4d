"""A runner outlives its view's own server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.postgres import private_server
from support.totals import Totals, append_numbers, read_totals
from support.waiting import eventually, until

from eventstore import EventStore, TakenOverError
from projections import ProjectionRunner

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.slow]


async def test_a_view_s_server_restarts_and_its_runner_goes_on(tmp_path: Path) -> None:
    with private_server() as server:
        view = server.fresh_schema()
        async with (
            EventStore.open(f"sqlite:///{tmp_path}/e.db", notify="none", poll=0.1) as store,
            anyio.create_task_group() as tasks,
        ):
            keeper = ProjectionRunner(store, Totals().at(view), heal_seconds=0.1)
            tasks.start_soon(keeper.run)
            first = await append_numbers(store)

            async def begun() -> bool:
                return await anyio.to_thread.run_sync(read_totals, view) == first

            await eventually(begun, 60)
            await anyio.to_thread.run_sync(server.stop, "immediate")
            again = await append_numbers(store)
            expected = {name: 2 * total for name, total in again.items()}
            await until(lambda: keeper.trouble)
            await anyio.to_thread.run_sync(server.start)

            async def current() -> bool:
                return await anyio.to_thread.run_sync(read_totals, view) == expected

            await eventually(current, 60)
            await until(lambda: not keeper.trouble)
            tasks.cancel_scope.cancel()


async def test_a_runner_that_comes_back_leaves_the_view_to_a_newer_one(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/view.db"
    async with EventStore.open(f"sqlite:///{tmp_path}/e.db", notify="none") as store:
        first, second = Totals().at(url), Totals().at(url)
        log_id = (await store.head()).log_id
        first.open(log_id)
        first.close()
        second.open(log_id)
        with pytest.raises(TakenOverError):
            first.reopen(log_id)
        second.close()
