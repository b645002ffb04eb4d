"""Projections whose version has changed: computed again, and the old tables serve until then."""

from __future__ import annotations

from typing import ClassVar

import pytest
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
)
from support.totals import (
    DoubledTotals,
    Totals,
    append_numbers,
    project,
    read_table,
    read_totals,
)

from eventstore import (
    Event,
    EventStore,
    NewEvent,
    ProjectionError,
    ProjectionVersionError,
)
from projections import ProjectionRunner, TableProjection, _view_run
from projections.tables.columns import required

pytestmark = pytest.mark.anyio


changed = MetaData()
numbered = Table(
    "counts",
    changed,
    Column("id", Integer, primary_key=True),
    *required(String, "key"),
    Column("total", Integer, index=True),
)
extra = Table("extra", changed, Column("position", Integer, primary_key=True, autoincrement=False))


class Numbered(TableProjection):
    """The projection in another shape: a row per event, numbered by the database."""

    name = "totals"
    version: ClassVar[int] = 3
    metadata: ClassVar[MetaData] = changed

    def handle(self, connection: Connection, event: Event) -> None:
        connection.execute(numbered.insert().values(key=event.stream, total=event.data))
        connection.execute(extra.insert().values(position=event.position))


async def test_a_new_version_of_a_projection_is_computed_again(log: str, target: str) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        expected = await append_numbers(store)
    await project(log, target, Totals())
    async with EventStore.open(log, inline=[DoubledTotals()]):
        pass
    await project(log, target, DoubledTotals())
    assert (
        read_totals(log)
        == read_totals(target)
        == {key: 2 * total for key, total in expected.items()}
    )


@pytest.mark.promise("projection")
async def test_a_projection_of_an_older_version_serves_until_it_is_computed_again(
    log: str, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, int]] = []
    monkeypatch.setattr(_view_run, "BATCH_EVENTS", 7)
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        await ProjectionRunner(
            store, DoubledTotals().at(target), progress=lambda *_: seen.append(read_totals(target))
        ).catch_up()
    assert len(seen) > 5
    assert all(found == expected for found in seen)
    assert read_totals(target) == {key: 2 * total for key, total in expected.items()}


async def test_a_new_version_may_have_other_tables(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        await ProjectionRunner(store, Numbered().at(target)).catch_up()
        assert len(read_table(target, numbered)) == len(read_table(target, extra)) == 50
        await store.append("n/1", [NewEvent("Counted", 1)])
        await ProjectionRunner(store, Numbered().at(target)).catch_up()
        assert len({row[0] for row in read_table(target, numbered)}) == 51
        await ProjectionRunner(store, Numbered().at(target)).rebuild()
        await store.append("n/1", [NewEvent("Counted", 1)])
        await ProjectionRunner(store, Numbered().at(target)).catch_up()
        assert len({row[0] for row in read_table(target, numbered)}) == 52
        with pytest.raises(ProjectionVersionError):
            await ProjectionRunner(store, Totals().at(target)).catch_up()
        await ProjectionRunner(store, Totals().at(target)).rebuild()
    assert sum(read_totals(target).values()) == sum(range(51)) + 2


async def test_a_failed_rebuild_of_an_older_version_leaves_it(log: str, target: str) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 5)
        await ProjectionRunner(store, Totals().at(target)).catch_up()
        before = read_totals(target)
        await store.append("n/1", [NewEvent("Bad", 1)])
        with pytest.raises(ProjectionError):
            await ProjectionRunner(store, DoubledTotals().at(target)).catch_up()
        assert read_totals(target) == before
        with pytest.raises(ProjectionError):
            await ProjectionRunner(store, DoubledTotals().at(target)).catch_up()
        assert read_totals(target) == before
