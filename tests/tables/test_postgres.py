"""What only PostgreSQL has: temporary tables, search paths and time limits of sessions."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import Connection, text
from support.totals import DoubledTotals, Totals, append_numbers, read_totals

from eventstore import Event, EventStore, NewEvent
from eventstore.storage.postgres import connection as postgres_urls
from projections import ProjectionRunner, _view_run

if TYPE_CHECKING:
    from support.postgres import Server

pytestmark = pytest.mark.anyio


async def test_no_transaction_is_open_between_the_batches_of_a_rebuild(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, target = postgres.fresh_schema(), postgres.fresh_schema()
    seen = []
    states = "SELECT state FROM pg_stat_activity WHERE application_name = 'projector'"
    monkeypatch.setattr(_view_run, "BATCH_EVENTS", 7)
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        projector = ProjectionRunner(
            store,
            Totals().at(f"{target}&application_name=projector"),
            progress=lambda *_: seen.append(postgres.execute(states)),
        )
        await projector.rebuild()
    assert len(seen) > 5
    assert all(found and set(found) == {("idle",)} for found in seen)
    assert read_totals(target) == expected


@pytest.mark.promise("projection")
@pytest.mark.parametrize("newer", [Totals, DoubledTotals])
async def test_projections_in_other_schemas_of_the_search_path_are_left_alone(
    postgres: Server, newer: type[Totals]
) -> None:
    theirs, ours = postgres.fresh_schema(), postgres.fresh_schema()
    path = f"{ours}%2C{theirs.rpartition('%3D')[2]}"
    async with EventStore.open(theirs, inline=[Totals()]) as store:
        expected = await append_numbers(store, 10)
    async with EventStore.open(path, inline=[newer()]) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        for step in (ProjectionRunner.catch_up, ProjectionRunner.rebuild):
            await step(ProjectionRunner(store, newer().at(path)))
    assert read_totals(theirs) == expected
    assert read_totals(ours) == {"n/1": 1 if newer is Totals else 2}


async def test_a_handler_may_compute_for_longer_than_an_append_may_be_idle(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    idle = "idle_in_transaction_session_timeout"
    # The log's own sessions may be idle for as long as ever: the machine may be slow.
    log, target = f"{postgres.fresh_schema()}%20-c{idle}%3D60s", postgres.fresh_schema()
    monkeypatch.setitem(postgres_urls.SETTINGS, idle, "1s")

    class Slow(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            ended = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            (own,) = connection.execute(text("SELECT pg_backend_pid()")).one()
            # Until the server has had its chance to end the session.
            threading.Event().wait(1.2)
            assert postgres.execute(ended, own) == [(1,)]
            super().handle(connection, event)

    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        for step in (ProjectionRunner.catch_up, ProjectionRunner.rebuild):
            await step(ProjectionRunner(store, Slow().at(target)))
            assert read_totals(target) == {"n/1": 1}
