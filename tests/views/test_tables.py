"""Views in tables: inline in the append's own transaction, and followed by a runner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path
from typing import ClassVar

import anyio
import pytest
from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, create_engine, select
from sqlalchemy.dialects.sqlite import insert
from support.waiting import collect, take

from eventstore import Event, EventStore, HistoryDivergedError, NewEvent, ProjectionError
from eventstore.errors import ConfigError, TakenOverError
from projections import ProjectionRunner, TableProjection
from projections.tables import projection_table, set_aside_table

pytestmark = pytest.mark.anyio

tables = MetaData()
counts = Table("counts", tables, Column("key", String, primary_key=True), Column("total", Integer))


class Totals(TableProjection):
    """Sums the numbers of each stream; repeating or losing an event shows in the sum."""

    name = "totals"
    metadata: ClassVar[MetaData] = tables

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the event's number; a ``Bad`` one fails after it has written."""
        row = insert(counts).values(key=event.stream, total=event.data)
        connection.execute(
            row.on_conflict_do_update(
                index_elements=["key"], set_={"total": counts.c.total + row.excluded.total}
            )
        )
        if event.type == "Bad":
            raise ZeroDivisionError("cannot count this")


class DoubledTotals(Totals):
    """What the view means in its next version: everything counts twice."""

    version: ClassVar[int] = 2

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the number twice."""
        super().handle(connection, event)
        super().handle(connection, event)


def rows(path: Path) -> dict[str, int]:
    """Return the view as a reader of its database sees it."""
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = {row.key: row.total for row in connection.execute(select(counts))}
    engine.dispose()
    return found


def ledger(path: Path, table: Table) -> list[tuple[object, ...]]:
    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(select(table))]
    engine.dispose()
    return found


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Name the file of a log that is not there yet."""
    return tmp_path / "events.db"


@pytest.fixture
def views(tmp_path: Path) -> Path:
    """Name the file of a followed view."""
    return tmp_path / "views.db"


async def append_numbers(store: EventStore, count: int = 50) -> dict[str, int]:
    """Append numbers 1 to ``count`` in commits of 1 to 3; return the totals, by arithmetic."""
    number, commit = 1, 1
    while number <= count:
        batch = range(number, min(number + commit, count + 1))
        await store.append(f"n/{number % 4}", [NewEvent("Counted", n) for n in batch])
        number, commit = batch.stop, commit % 3 + 1
    totals: Counter[str] = Counter()
    number, commit = 1, 1
    while number <= count:
        stop = min(number + commit, count + 1)
        totals[f"n/{number % 4}"] += sum(range(number, stop))
        number, commit = stop, commit % 3 + 1
    return dict(totals)


async def bring_up(log: Path, views: Path, view: TableProjection, until: int | None = None) -> int:
    async with EventStore.open(f"sqlite:///{log}") as store:
        runner = ProjectionRunner(store, view.at(f"sqlite:///{views}"))
        return (await runner.catch_up(until)).position


async def test_inline_and_followed_views_say_what_arithmetic_says(log: Path, views: Path) -> None:
    async with EventStore.open(f"sqlite:///{log}", inline=[Totals()]) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(f"sqlite:///{views}")).catch_up()
        assert rows(log) == rows(views) == expected


async def test_an_inline_view_has_the_append_when_it_returns(log: Path) -> None:
    async with EventStore.open(f"sqlite:///{log}", inline=[Totals()]) as store:
        for n in range(1, 6):
            await store.append("n/1", [NewEvent("Counted", n)])
            assert rows(log) == {"n/1": sum(range(n + 1))}


async def test_an_event_that_cannot_be_applied_fails_its_own_append_only(log: Path) -> None:
    failed: dict[int, BaseException | None] = {}
    async with EventStore.open(f"sqlite:///{log}", inline=[Totals()]) as store:

        async def append(number: int) -> None:
            try:
                await store.append("n/1", [NewEvent("Bad" if number == 3 else "Counted", number)])
            except ProjectionError as error:
                failed[number] = error.__cause__

        async with anyio.create_task_group() as tasks:
            for number in range(1, 8):
                tasks.start_soon(append, number)
        assert (await store.head()).position == 6
    assert list(failed) == [3]
    assert isinstance(failed[3], ZeroDivisionError)
    assert rows(log) == {"n/1": 1 + 2 + 4 + 5 + 6 + 7}


async def test_an_event_that_is_set_aside_is_recorded_and_leaves_nothing_else(log: Path) -> None:
    async with EventStore.open(f"sqlite:///{log}", inline=[Totals(on_error="set_aside")]) as store:
        await store.append("n/1", [NewEvent(t, 1) for t in ("Counted", "Bad", "Counted")])
    assert rows(log) == {"n/1": 2}
    ((name, position, reason),) = ledger(log, set_aside_table)
    assert (name, position) == ("totals", 2)
    assert "cannot count this" in str(reason)


async def test_setting_aside_is_the_same_live_and_in_a_rebuild(log: Path, views: Path) -> None:
    async with EventStore.open(f"sqlite:///{log}") as store:
        for type_ in ("Counted", "Bad", "Counted"):
            await store.append("n/1", [NewEvent(type_, 1)])
        runner = ProjectionRunner(store, Totals(on_error="set_aside").at(f"sqlite:///{views}"))
        seen = []
        for step in (runner.catch_up, runner.rebuild):
            await step()
            seen.append((rows(views), ledger(views, set_aside_table)))
    assert seen[0] == seen[1]
    assert seen[0][0] == {"n/1": 2}
    assert len(seen[0][1]) == 1


async def test_a_followed_view_stops_before_the_commit_that_cannot_be_applied(
    log: Path, views: Path
) -> None:
    async with EventStore.open(f"sqlite:///{log}") as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        await store.append("n/1", [NewEvent("Counted", 1), NewEvent("Counted", 1)])
        await store.append("n/1", [NewEvent("Counted", 1), NewEvent("Bad", 1)])
        await store.append("n/1", [NewEvent("Counted", 1)])
        runner = ProjectionRunner(store, Totals().at(f"sqlite:///{views}"))
        for _ in range(2):
            with pytest.raises(ProjectionError, match="position 5"):
                await runner.catch_up()
            assert rows(views) == {"n/1": 3}
    assert ledger(views, projection_table)[0][3] == 3


async def test_a_view_catches_up_on_what_a_process_without_it_appended(log: Path) -> None:
    url = f"sqlite:///{log}"
    async with EventStore.open(url, inline=[Totals()]) as store, EventStore.open(url) as other:
        await store.append("n/1", [NewEvent("Counted", 1)])
        await other.append("n/1", [NewEvent("Counted", 10)])
        assert rows(log) == {"n/1": 1}
        await store.append("n/1", [NewEvent("Counted", 100)])
        assert rows(log) == {"n/1": 111}
        await other.append("n/1", [NewEvent("Counted", 1000)])
    async with EventStore.open(url, inline=[Totals()]):
        assert rows(log) == {"n/1": 1111}


async def test_a_new_version_of_a_view_is_computed_again(log: Path, views: Path) -> None:
    async with EventStore.open(f"sqlite:///{log}", inline=[Totals()]) as store:
        expected = await append_numbers(store)
    await bring_up(log, views, Totals())
    async with EventStore.open(f"sqlite:///{log}", inline=[DoubledTotals()]):
        pass
    await bring_up(log, views, DoubledTotals())
    assert rows(log) == rows(views) == {key: 2 * total for key, total in expected.items()}


async def test_a_rebuild_gives_the_same_rows(log: Path, views: Path) -> None:
    async with EventStore.open(f"sqlite:///{log}") as store:
        expected = await append_numbers(store)
        runner = ProjectionRunner(store, Totals().at(f"sqlite:///{views}"))
        before = await runner.catch_up()
        assert await runner.rebuild() == before
        assert rows(views) == expected


async def test_an_interrupted_rebuild_leaves_the_old_view(log: Path, views: Path) -> None:
    class Stubborn(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            if event.position == 30:
                raise KeyboardInterrupt
            super().handle(connection, event)

    async with EventStore.open(f"sqlite:///{log}") as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(f"sqlite:///{views}")).catch_up()
        with pytest.raises(KeyboardInterrupt):
            await ProjectionRunner(store, Stubborn().at(f"sqlite:///{views}")).rebuild()
        assert rows(views) == expected
        await ProjectionRunner(store, Totals().at(f"sqlite:///{views}")).rebuild()
        assert rows(views) == expected


async def test_the_old_view_serves_until_the_new_one_is_complete(log: Path, views: Path) -> None:
    seen: list[dict[str, int]] = []

    class Watched(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            super().handle(connection, event)
            seen.append(rows(views))

    async with EventStore.open(f"sqlite:///{log}") as store:
        expected = await append_numbers(store, 10)
        await ProjectionRunner(store, Totals().at(f"sqlite:///{views}")).catch_up()
        await ProjectionRunner(store, Watched().at(f"sqlite:///{views}")).rebuild()
    assert seen == [expected] * 10


def killed_after(batches: int, log: Path, views: Path) -> int:
    """Catch up in another process that is killed after so many batches; return its status."""
    program = f"""
        import importlib.util, os, signal, sys
        sys.path.append({str(Path(__file__).parents[1])!r})
        import anyio
        from eventstore import EventStore
        from projections import runner
        spec = importlib.util.spec_from_file_location("view", {__file__!r})
        view = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(view)
        runner.BATCH_EVENTS = 5
        left = {batches}

        def progress(position, target):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

        async def main():
            async with EventStore.open("sqlite:///{log}") as store:
                tables = view.Totals().at("sqlite:///{views}")
                await runner.ProjectionRunner(store, tables, progress=progress).catch_up()

        anyio.run(main)
    """
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], env=environment, check=False, timeout=60
    ).returncode


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_runner_that_is_killed_between_batches_repeats_and_loses_nothing(
    log: Path, views: Path
) -> None:
    async with EventStore.open(f"sqlite:///{log}") as store:
        expected = await append_numbers(store)
    for batches in (1, 2, 3):
        assert killed_after(batches, log, views) == -signal.SIGKILL
    assert await bring_up(log, views, Totals()) == 50
    assert rows(views) == expected


async def test_the_older_of_two_runners_is_told_and_does_no_harm(log: Path, views: Path) -> None:
    async with EventStore.open(f"sqlite:///{log}") as store:
        expected = await append_numbers(store)
        old, new = (Totals().at(f"sqlite:///{views}") for _ in range(2))
        head = await store.head()
        assert old.open(head.log_id) is None
        await ProjectionRunner(store, new).catch_up()
        page = await take(store.subscribe_changes().commits(), 1)
        with pytest.raises(TakenOverError):
            old.apply(page[0][1], page[0][0])
        with pytest.raises(TakenOverError):
            old.begin_rebuild()
        old.close()
    assert rows(views) == expected


async def test_whoever_is_in_the_wrong_log_takes_nothing_over(tmp_path: Path, views: Path) -> None:
    url = f"sqlite:///{views}"
    async with (
        EventStore.open(f"sqlite:///{tmp_path}/one.db") as one,
        EventStore.open(f"sqlite:///{tmp_path}/two.db") as two,
    ):
        for store in (one, two):
            await store.append("n/1", [NewEvent("Counted", 1)])
        right = Totals().at(url)
        right.open((await one.head()).log_id)
        ((cursor, events),) = await take(one.subscribe_changes().commits(), 1)
        right.apply(events, cursor)
        with pytest.raises(HistoryDivergedError):
            await ProjectionRunner(two, Totals().at(url)).catch_up()
        right.apply([], cursor)
        right.close()
    assert rows(views) == {"n/1": 1}


async def test_a_view_in_the_logs_own_file_follows_as_well(log: Path) -> None:
    async with EventStore.open(f"sqlite:///{log}") as store:
        expected = await append_numbers(store)
        runner = ProjectionRunner(store, Totals().at(f"sqlite:///{log}"))
        await runner.catch_up()
        assert rows(log) == expected
        await runner.rebuild()
        assert rows(log) == expected
        assert len(await collect(store.read())) == 50


def test_a_followed_view_needs_a_file() -> None:
    with pytest.raises(ConfigError, match="memory"):
        Totals().at("memory://")


async def test_two_views_share_one_database(log: Path, views: Path) -> None:
    other = MetaData()
    last = Table("last", other, Column("position", Integer, primary_key=True))

    class Last(TableProjection):
        name = "last"
        metadata: ClassVar[MetaData] = other

        def handle(self, connection: Connection, event: Event) -> None:
            connection.execute(last.delete())
            connection.execute(last.insert().values(position=event.position))

    async with EventStore.open(f"sqlite:///{log}") as store:
        expected = await append_numbers(store)
        for view in (Totals(), Last()):
            await ProjectionRunner(store, view.at(f"sqlite:///{views}")).catch_up()
        await ProjectionRunner(store, Last().at(f"sqlite:///{views}")).rebuild()
    assert rows(views) == expected
    assert ledger(views, last) == [(50,)]
