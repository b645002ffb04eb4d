"""Events that cannot be applied: set aside or stopped at, unless the database itself failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import msgspec
import pytest
from sqlalchemy import BigInteger, Connection, MetaData, String, text
from support.event_tables import event_table
from support.totals import Totals, read_table, read_totals

from eventstore import Event, EventStore, NewEvent, ProjectionError
from eventstore.errors import StorageError
from projections import ProjectionRunner, TableProjection
from projections.tables.checkpoints import projection_table, set_aside_table
from projections.tables.retrying import retry_set_aside

if TYPE_CHECKING:
    from support.postgres import Server

pytestmark = pytest.mark.anyio


async def test_an_event_that_is_set_aside_is_recorded_and_leaves_nothing_else(log: str) -> None:
    async with EventStore.open(log, inline=[Totals(on_error="set_aside")]) as store:
        await store.append("n/1", [NewEvent(t, 1) for t in ("Counted", "Bad", "Counted")])
    assert read_totals(log) == {"n/1": 2}
    ((name, position, reason),) = read_table(log, set_aside_table)
    assert (name, position) == ("totals", 2)
    assert "cannot count this" in str(reason)


async def test_setting_aside_is_the_same_live_and_in_a_rebuild(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        for type_ in ("Counted", "Bad", "Counted"):
            await store.append("n/1", [NewEvent(type_, 1)])
        projector = ProjectionRunner(store, Totals(on_error="set_aside").at(target))
        seen = []
        for step in (projector.catch_up, projector.rebuild):
            await step()
            seen.append((read_totals(target), read_table(target, set_aside_table)))
    assert seen[0] == seen[1]
    assert seen[0][0] == {"n/1": 2}
    assert len(seen[0][1]) == 1


async def test_a_followed_projection_stops_before_the_commit_that_cannot_be_applied(
    log: str, target: str
) -> None:
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        await store.append("n/1", [NewEvent("Counted", 1), NewEvent("Counted", 1)])
        await store.append("n/1", [NewEvent("Counted", 1), NewEvent("Bad", 1)])
        await store.append("n/1", [NewEvent("Counted", 1)])
        projector = ProjectionRunner(store, Totals().at(target))
        for _ in range(2):
            with pytest.raises(ProjectionError, match="position 5"):
                await projector.catch_up()
            assert read_totals(target) == {"n/1": 3}
    assert read_table(target, projection_table)[0][3] == 3


async def test_a_reason_is_recorded_with_any_characters(
    log: str, caplog: pytest.LogCaptureFixture
) -> None:
    class Strange(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            class StrangeError(Exception):
                def __repr__(self) -> str:
                    return "nul \0 and half \ud800"

            raise StrangeError

    async with EventStore.open(log, inline=[Strange(on_error="set_aside")]) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
    assert [row[2] for row in read_table(log, set_aside_table)] == ["nul \\u0000 and half \\ud800"]
    assert caplog.text.encode().count(b"set aside") == 1


@pytest.mark.promise("projection")
@pytest.mark.parametrize("value", ["nul\0", 2**63], ids=["nul", "too-large"])
async def test_what_a_column_cannot_hold_is_set_aside_in_every_database(
    log: str, target: str, value: Any
) -> None:
    table = event_table("held", text=String, number=BigInteger)

    class Held(TableProjection):
        name = "held"
        metadata: ClassVar[MetaData] = table.metadata

        def handle(self, connection: Connection, event: Event) -> None:
            column = "text" if isinstance(event.data, str) else "number"
            row = {"position": event.position, column: event.data}
            connection.execute(table.insert().values(row))

    async with EventStore.open(log, inline=[Held(on_error="set_aside")]) as store:
        await store.append("t/1", [NewEvent("Said", data) for data in ("a", value, "b")])
        await ProjectionRunner(store, Held(on_error="set_aside").at(target)).catch_up()
    for url in (log, target):
        assert [row[:2] for row in read_table(url, table)] == [(1, "a"), (3, "b")]
        assert [row[1] for row in read_table(url, set_aside_table)] == [2]


@pytest.mark.promise("projection")
async def test_a_lost_connection_is_no_fault_of_the_event(postgres: Server) -> None:
    log, target = postgres.fresh_schema(), postgres.fresh_schema()
    end = "SELECT pg_terminate_backend(pg_backend_pid())"
    left = [2]

    class Cut(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            super().handle(connection, event)
            if left[0]:
                left[0] -= 1
                connection.execute(text(end))

    cut = Cut(on_error="set_aside")
    async with EventStore.open(log, inline=[cut]) as store:
        left[0] = 1
        await store.append("n/1", [NewEvent("Counted", 1)])
        assert (read_totals(log), read_table(log, set_aside_table)) == ({"n/1": 1}, [])
        left[0] = 1
        await ProjectionRunner(store, cut.at(target)).catch_up()
        assert (read_totals(target), read_table(target, set_aside_table)) == ({"n/1": 1}, [])
        left[0] = 2
        with pytest.raises(StorageError):
            await ProjectionRunner(store, cut.at(target)).rebuild()
        assert read_totals(target) == {"n/1": 1}


@pytest.mark.promise("projection")
async def test_a_database_that_fails_sets_no_event_aside(log: str, target: str) -> None:
    class Unlucky(Totals):
        fails = True

        def handle(self, connection: Connection, event: Event) -> None:
            super().handle(connection, event)
            if self.fails and target.startswith("postgresql"):
                connection.execute(text("SET LOCAL statement_timeout = '10ms'"))
                connection.execute(text("SELECT pg_sleep(20)"))
            elif self.fails:
                connection.execute(text("ATTACH '/nowhere/at/all.db' AS gone"))

    projection = Unlucky(on_error="set_aside")
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        with pytest.raises(StorageError):
            await ProjectionRunner(store, projection.at(target)).catch_up()
        assert read_table(target, set_aside_table) == []
        projection.fails = False
        await ProjectionRunner(store, projection.at(target)).catch_up()
    assert read_totals(target) == {"n/1": 1}


@pytest.mark.slow
async def test_what_was_set_aside_is_applied_again_once_the_handler_is_mended(log: str) -> None:
    class Mended(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            if event.position == 4:
                raise ZeroDivisionError("not yet")
            super().handle(connection, msgspec.structs.replace(event, type="Counted"))

    async with EventStore.open(log, inline=[Totals(on_error="set_aside")]) as store:
        await store.append("n/1", [NewEvent(t, 1) for t in ("Counted", "Bad", "Counted", "Bad")])
        done = await retry_set_aside(store, Mended())
        assert (done.applied, done.left) == ([2], {4: "ZeroDivisionError('not yet')"})
        assert read_totals(log) == {"n/1": 3}
        assert [row[1] for row in read_table(log, set_aside_table)] == [4]
        await store.append("n/1", [NewEvent("Counted", 1)])
        assert read_totals(log) == {"n/1": 4}
