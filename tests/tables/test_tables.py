"""Views in tables: inline in the append's own transaction, and followed by a runner."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar

import anyio
import pytest
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Engine,
    Integer,
    MetaData,
    String,
    Table,
    create_engine,
    insert,
    select,
    text,
)
from sqlalchemy.dialects import postgresql, sqlite
from support.logs import LOG_URLS
from support.processes import run
from support.waiting import collect, take

from eventstore import Event, EventStore, HistoryDivergedError, NewEvent, ProjectionError
from eventstore.errors import ConfigError, StorageError, TakenOverError
from eventstore.storage.postgres import connection as postgres_urls
from projections import ProjectionRunner, TableProjection, runner
from projections.tables.checkpoints import projection_table, set_aside_table

if TYPE_CHECKING:
    from pathlib import Path

    from support.postgres import Server

pytestmark = pytest.mark.anyio

tables = MetaData()
counts = Table("counts", tables, Column("key", String, primary_key=True), Column("total", Integer))


class Totals(TableProjection):
    """Sums the numbers of each stream; repeating or losing an event shows in the sum."""

    name = "totals"
    metadata: ClassVar[MetaData] = tables

    def handle(self, connection: Connection, event: Event) -> None:
        """Add the event's number; a ``Bad`` one fails after it has written."""
        dialect = sqlite if connection.dialect.name == "sqlite" else postgresql
        row = dialect.insert(counts).values(key=event.stream, total=event.data)
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


def reader_of(url: str) -> Engine:
    """Return an engine of SQLAlchemy's own, as somebody else would read the view."""
    return create_engine(url.replace("postgresql://", "postgresql+psycopg://"))


def rows(url: str) -> dict[str, int]:
    """Return the view as a reader of its database sees it."""
    engine = reader_of(url)
    with engine.connect() as connection:
        found = {row.key: row.total for row in connection.execute(select(counts))}
    engine.dispose()
    return found


def ledger(url: str, table: Table) -> list[tuple[object, ...]]:
    engine = reader_of(url)
    with engine.connect() as connection:
        found = [tuple(row) for row in connection.execute(select(table))]
    engine.dispose()
    return found


@pytest.fixture(params=["sqlite", "postgresql"])
def kind(request: pytest.FixtureRequest) -> str:
    """Name the kind of database that log and view live in."""
    return str(request.param)


@pytest.fixture
def log(kind: str, tmp_path: Path) -> str:
    """Name a log that is not there yet."""
    return LOG_URLS[kind](tmp_path)


@pytest.fixture
def views(kind: str, tmp_path: Path) -> str:
    """Name the database of a followed view, another one than the log's."""
    folder = tmp_path / "views"
    folder.mkdir()
    return LOG_URLS[kind](folder)


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


async def bring_up(log: str, views: str, view: TableProjection, until: int | None = None) -> int:
    async with EventStore.open(log) as store:
        keeper = ProjectionRunner(store, view.at(views))
        return (await keeper.catch_up(until)).position


@pytest.mark.promise("projection")
async def test_inline_and_followed_views_say_what_arithmetic_says(log: str, views: str) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(views)).catch_up()
        assert rows(log) == rows(views) == expected


async def test_an_inline_view_has_the_append_when_it_returns(log: str) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        for n in range(1, 6):
            await store.append("n/1", [NewEvent("Counted", n)])
            assert rows(log) == {"n/1": sum(range(n + 1))}


async def test_an_event_that_cannot_be_applied_fails_its_own_append_only(log: str) -> None:
    failed: dict[int, BaseException | None] = {}
    async with EventStore.open(log, inline=[Totals()]) as store:

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


async def test_an_event_that_is_set_aside_is_recorded_and_leaves_nothing_else(log: str) -> None:
    async with EventStore.open(log, inline=[Totals(on_error="set_aside")]) as store:
        await store.append("n/1", [NewEvent(t, 1) for t in ("Counted", "Bad", "Counted")])
    assert rows(log) == {"n/1": 2}
    ((name, position, reason),) = ledger(log, set_aside_table)
    assert (name, position) == ("totals", 2)
    assert "cannot count this" in str(reason)


async def test_setting_aside_is_the_same_live_and_in_a_rebuild(log: str, views: str) -> None:
    async with EventStore.open(log) as store:
        for type_ in ("Counted", "Bad", "Counted"):
            await store.append("n/1", [NewEvent(type_, 1)])
        keeper = ProjectionRunner(store, Totals(on_error="set_aside").at(views))
        seen = []
        for step in (keeper.catch_up, keeper.rebuild):
            await step()
            seen.append((rows(views), ledger(views, set_aside_table)))
    assert seen[0] == seen[1]
    assert seen[0][0] == {"n/1": 2}
    assert len(seen[0][1]) == 1


async def test_a_followed_view_stops_before_the_commit_that_cannot_be_applied(
    log: str, views: str
) -> None:
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        await store.append("n/1", [NewEvent("Counted", 1), NewEvent("Counted", 1)])
        await store.append("n/1", [NewEvent("Counted", 1), NewEvent("Bad", 1)])
        await store.append("n/1", [NewEvent("Counted", 1)])
        keeper = ProjectionRunner(store, Totals().at(views))
        for _ in range(2):
            with pytest.raises(ProjectionError, match="position 5"):
                await keeper.catch_up()
            assert rows(views) == {"n/1": 3}
    assert ledger(views, projection_table)[0][3] == 3


async def test_a_view_catches_up_on_what_a_process_without_it_appended(log: str) -> None:
    url = log
    async with EventStore.open(url, inline=[Totals()]) as store, EventStore.open(url) as other:
        await store.append("n/1", [NewEvent("Counted", 1)])
        await other.append("n/1", [NewEvent("Counted", 10)])
        assert rows(log) == {"n/1": 1}
        await store.append("n/1", [NewEvent("Counted", 100)])
        assert rows(log) == {"n/1": 111}
        await other.append("n/1", [NewEvent("Counted", 1000)])
    async with EventStore.open(url, inline=[Totals()]):
        assert rows(log) == {"n/1": 1111}


async def test_a_new_version_of_a_view_is_computed_again(log: str, views: str) -> None:
    async with EventStore.open(log, inline=[Totals()]) as store:
        expected = await append_numbers(store)
    await bring_up(log, views, Totals())
    async with EventStore.open(log, inline=[DoubledTotals()]):
        pass
    await bring_up(log, views, DoubledTotals())
    assert rows(log) == rows(views) == {key: 2 * total for key, total in expected.items()}


async def test_a_rebuild_gives_the_same_rows(log: str, views: str) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        keeper = ProjectionRunner(store, Totals().at(views))
        before = await keeper.catch_up()
        assert await keeper.rebuild() == before
        assert rows(views) == expected


async def test_an_interrupted_rebuild_leaves_the_old_view(log: str, views: str) -> None:
    class Stubborn(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            if event.position == 30:
                raise KeyboardInterrupt
            super().handle(connection, event)

    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(views)).catch_up()
        with pytest.raises(KeyboardInterrupt):
            await ProjectionRunner(store, Stubborn().at(views)).rebuild()
        assert rows(views) == expected
        await ProjectionRunner(store, Totals().at(views)).rebuild()
        assert rows(views) == expected


@pytest.mark.promise("projection")
async def test_the_old_view_serves_until_the_new_one_is_complete(log: str, views: str) -> None:
    seen: list[dict[str, int]] = []

    class Watched(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            super().handle(connection, event)
            seen.append(rows(views))

    async with EventStore.open(log) as store:
        expected = await append_numbers(store, 10)
        await ProjectionRunner(store, Totals().at(views)).catch_up()
        await ProjectionRunner(store, Watched().at(views)).rebuild()
    assert seen == [expected] * 10


def killed_after(batches: int, log: str, views: str) -> int:
    """Catch up in another process that is killed after so many batches; return its status."""
    return int(run("dying_runner", log, views, batches).returncode)


@pytest.mark.promise("subscription")
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_runner_that_is_killed_between_batches_repeats_and_loses_nothing(
    log: str, views: str
) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
    for batches in (1, 2, 3):
        assert killed_after(batches, log, views) == -signal.SIGKILL
    assert await bring_up(log, views, Totals()) == 50
    assert rows(views) == expected


async def test_the_older_of_two_runners_is_told_and_does_no_harm(log: str, views: str) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        old, new = (Totals().at(views) for _ in range(2))
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


async def test_whoever_is_in_the_wrong_log_takes_nothing_over(
    kind: str, tmp_path: Path, views: str
) -> None:
    url = views
    logs = [tmp_path / name for name in ("one", "two")]
    for folder in logs:
        folder.mkdir()
    first, second = map(LOG_URLS[kind], logs)
    async with EventStore.open(first) as one, EventStore.open(second) as two:
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


async def test_a_view_in_the_logs_own_file_follows_as_well(log: str) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        keeper = ProjectionRunner(store, Totals().at(log))
        await keeper.catch_up()
        assert rows(log) == expected
        await keeper.rebuild()
        assert rows(log) == expected
        assert len(await collect(store.read())) == 50


def test_a_followed_view_needs_a_file() -> None:
    with pytest.raises(ConfigError, match="memory"):
        Totals().at("memory://")


async def test_two_views_share_one_database(log: str, views: str) -> None:
    other = MetaData()
    last = Table("last", other, Column("position", Integer, primary_key=True))

    class Last(TableProjection):
        name = "last"
        metadata: ClassVar[MetaData] = other

        def handle(self, connection: Connection, event: Event) -> None:
            connection.execute(last.delete())
            connection.execute(last.insert().values(position=event.position))

    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        for view in (Totals(), Last()):
            await ProjectionRunner(store, view.at(views)).catch_up()
        await ProjectionRunner(store, Last().at(views)).rebuild()
    assert rows(views) == expected
    assert ledger(views, last) == [(50,)]


changed = MetaData()
numbered = Table(
    "counts",
    changed,
    Column("id", Integer, primary_key=True),
    Column("key", String, nullable=False),
    Column("total", Integer, index=True),
)
extra = Table("extra", changed, Column("position", Integer, primary_key=True, autoincrement=False))


class Numbered(TableProjection):
    """The view in another shape: a row per event, numbered by the database."""

    name = "totals"
    version: ClassVar[int] = 3
    metadata: ClassVar[MetaData] = changed

    def handle(self, connection: Connection, event: Event) -> None:
        connection.execute(numbered.insert().values(key=event.stream, total=event.data))
        connection.execute(extra.insert().values(position=event.position))


@pytest.mark.promise("projection")
async def test_a_view_of_an_older_version_serves_until_it_is_computed_again(
    log: str, views: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[dict[str, int]] = []
    monkeypatch.setattr(runner, "BATCH_EVENTS", 7)
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(views)).catch_up()
        await ProjectionRunner(
            store, DoubledTotals().at(views), progress=lambda *_: seen.append(rows(views))
        ).catch_up()
    assert len(seen) > 5
    assert all(found == expected for found in seen)
    assert rows(views) == {key: 2 * total for key, total in expected.items()}


async def test_a_new_version_may_have_other_tables(log: str, views: str) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store)
        await ProjectionRunner(store, Totals().at(views)).catch_up()
        await ProjectionRunner(store, Numbered().at(views)).catch_up()
        assert len(ledger(views, numbered)) == len(ledger(views, extra)) == 50
        await store.append("n/1", [NewEvent("Counted", 1)])
        await ProjectionRunner(store, Numbered().at(views)).catch_up()
        assert len({row[0] for row in ledger(views, numbered)}) == 51
        await ProjectionRunner(store, Numbered().at(views)).rebuild()
        await store.append("n/1", [NewEvent("Counted", 1)])
        await ProjectionRunner(store, Numbered().at(views)).catch_up()
        assert len({row[0] for row in ledger(views, numbered)}) == 52
        await ProjectionRunner(store, Totals().at(views)).catch_up()
    assert sum(rows(views).values()) == sum(range(51)) + 2


async def test_a_failed_rebuild_of_an_older_version_leaves_it(log: str, views: str) -> None:
    async with EventStore.open(log) as store:
        await append_numbers(store, 5)
        await ProjectionRunner(store, Totals().at(views)).catch_up()
        before = rows(views)
        await store.append("n/1", [NewEvent("Bad", 1)])
        with pytest.raises(ProjectionError):
            await ProjectionRunner(store, DoubledTotals().at(views)).catch_up()
        assert rows(views) == before
        with pytest.raises(ProjectionError):
            await ProjectionRunner(store, DoubledTotals().at(views)).catch_up()
        assert rows(views) == before


async def test_a_rebuild_that_is_begun_again_starts_from_nothing(log: str, views: str) -> None:
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        await ProjectionRunner(store, Totals().at(views)).catch_up()
        view = Totals().at(views)
        pages = [page async for page in store.subscribe_changes(follow=False).commits()]
        view.open(pages[0][0].log_id)
        for begun in (pages[:1], pages):
            await anyio.to_thread.run_sync(view.begin_rebuild)
            for cursor, events in begun:
                view.apply(events, cursor)
        assert rows(views) == expected
        view.finish_rebuild()
        view.close()
    assert rows(views) == expected


async def test_a_newer_runner_ends_a_rebuild_that_goes_on(log: str, views: str, kind: str) -> None:
    if kind == "sqlite":
        pytest.skip("a newer runner waits for the rebuild: a file has one writer at a time")
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        old, new = Totals().at(views), Totals().at(views)
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
    assert rows(views) == expected


async def test_no_transaction_is_open_between_the_batches_of_a_rebuild(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, views = postgres.fresh_schema(), postgres.fresh_schema()
    seen = []
    states = "SELECT state FROM pg_stat_activity WHERE application_name = 'view-keeper'"
    monkeypatch.setattr(runner, "BATCH_EVENTS", 7)
    async with EventStore.open(log) as store:
        expected = await append_numbers(store)
        keeper = ProjectionRunner(
            store,
            Totals().at(f"{views}&application_name=view-keeper"),
            progress=lambda *_: seen.append(postgres.execute(states)),
        )
        await keeper.rebuild()
    assert len(seen) > 5
    assert all(found and set(found) == {("idle",)} for found in seen)
    assert rows(views) == expected


async def test_many_may_set_a_view_up_at_once(log: str, views: str) -> None:
    async def follow() -> None:
        async with EventStore.open(log, inline=[Totals()]) as store:
            projection = Totals().at(views)
            head = await store.head()
            await anyio.to_thread.run_sync(projection.open, head.log_id)
            projection.close()

    async with anyio.create_task_group() as tasks:
        for _ in range(6):
            tasks.start_soon(follow)
    assert [row[0] for row in ledger(views, projection_table)] == ["totals"]


async def test_a_reason_is_recorded_whatever_characters_it_has(
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
    assert [row[2] for row in ledger(log, set_aside_table)] == ["nul \\u0000 and half \\ud800"]
    assert caplog.text.encode().count(b"set aside") == 1


@pytest.mark.promise("projection")
async def test_a_lost_connection_is_no_fault_of_the_event(postgres: Server) -> None:
    log, views = postgres.fresh_schema(), postgres.fresh_schema()
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
        assert (rows(log), ledger(log, set_aside_table)) == ({"n/1": 1}, [])
        left[0] = 1
        await ProjectionRunner(store, cut.at(views)).catch_up()
        assert (rows(views), ledger(views, set_aside_table)) == ({"n/1": 1}, [])
        left[0] = 2
        with pytest.raises(StorageError):
            await ProjectionRunner(store, cut.at(views)).rebuild()
        assert rows(views) == {"n/1": 1}


async def test_a_batch_whose_commit_was_lost_is_applied_once(postgres: Server) -> None:
    log, views = postgres.fresh_schema(), postgres.fresh_schema()
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        ((cursor, events),) = await take(store.subscribe_changes().commits(), 1)
        view = Totals()
        followed = view.at(views)
        followed.open(cursor.log_id)
        followed.apply(events, cursor)
        followed._at = None  # As it would be, had the answer not arrived.
        followed.apply(events, cursor)
        followed.close()
    assert rows(views) == {"n/1": 1}


@pytest.mark.promise("projection")
@pytest.mark.parametrize("value", ["nul\0", 2**63], ids=["nul", "too-large"])
async def test_what_a_column_cannot_hold_is_set_aside_in_every_database(
    log: str, views: str, value: Any
) -> None:
    held = MetaData()
    table = Table(
        "held",
        held,
        Column("position", BigInteger, primary_key=True),
        Column("text", String),
        Column("number", BigInteger),
    )

    class Held(TableProjection):
        name = "held"
        metadata: ClassVar[MetaData] = held

        def handle(self, connection: Connection, event: Event) -> None:
            column = "text" if isinstance(event.data, str) else "number"
            row = {"position": event.position, column: event.data}
            connection.execute(table.insert().values(row))

    async with EventStore.open(log, inline=[Held(on_error="set_aside")]) as store:
        await store.append("t/1", [NewEvent("Said", data) for data in ("a", value, "b")])
        await ProjectionRunner(store, Held(on_error="set_aside").at(views)).catch_up()
    for url in (log, views):
        assert [row[:2] for row in ledger(url, table)] == [(1, "a"), (3, "b")]
        assert [row[1] for row in ledger(url, set_aside_table)] == [2]


@pytest.mark.promise("projection")
async def test_a_database_that_fails_sets_no_event_aside(log: str, views: str) -> None:
    class Unlucky(Totals):
        fails = True

        def handle(self, connection: Connection, event: Event) -> None:
            super().handle(connection, event)
            if self.fails and views.startswith("postgresql"):
                connection.execute(text("SET LOCAL statement_timeout = '10ms'"))
                connection.execute(text("SELECT pg_sleep(20)"))
            elif self.fails:
                connection.execute(text("ATTACH '/nowhere/at/all.db' AS gone"))

    view = Unlucky(on_error="set_aside")
    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        with pytest.raises(StorageError):
            await ProjectionRunner(store, view.at(views)).catch_up()
        assert ledger(views, set_aside_table) == []
        view.fails = False
        await ProjectionRunner(store, view.at(views)).catch_up()
    assert rows(views) == {"n/1": 1}


@pytest.mark.promise("projection")
@pytest.mark.parametrize("newer", [Totals, DoubledTotals])
async def test_views_further_along_the_search_path_are_left_alone(
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
    assert rows(theirs) == expected
    assert rows(ours) == {"n/1": 1 if newer is Totals else 2}


async def test_a_handler_may_think_for_longer_than_an_append_may_stand_still(
    postgres: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, views = postgres.fresh_schema(), postgres.fresh_schema()
    monkeypatch.setitem(postgres_urls.SETTINGS, "idle_in_transaction_session_timeout", "50ms")

    class Thinks(Totals):
        def handle(self, connection: Connection, event: Event) -> None:
            ended = "SELECT count(*) FROM pg_stat_activity WHERE pid = %s"
            (own,) = connection.execute(text("SELECT pg_backend_pid()")).one()
            # Until the server has had its chance to end the session.
            threading.Event().wait(0.2)
            assert postgres.execute(ended, own) == [(1,)]
            super().handle(connection, event)

    async with EventStore.open(log) as store:
        await store.append("n/1", [NewEvent("Counted", 1)])
        for step in (ProjectionRunner.catch_up, ProjectionRunner.rebuild):
            await step(ProjectionRunner(store, Thinks().at(views)))
            assert rows(views) == {"n/1": 1}


class Pairs(Totals):
    """Writes two rows with one statement, which gives their keys back."""

    def handle(self, connection: Connection, event: Event) -> None:
        """Write what the event says twice."""
        rows = [{"key": f"{event.data}{number}", "total": number} for number in range(2)]
        done = connection.execute(insert(counts).returning(counts.c.key), rows)
        assert set(done.scalars()) == {row["key"] for row in rows}


@pytest.mark.parametrize("kind", sorted(LOG_URLS))
async def test_a_view_may_write_many_rows_at_once_and_ask_them_back(
    tmp_path: Path, kind: str
) -> None:
    async with EventStore.open(LOG_URLS[kind](tmp_path), inline=[Pairs()]) as store:
        await store.append("a/1", [NewEvent("Counted", "x")])
        with pytest.raises((ProjectionError, StorageError), match="NUL"):
            await store.append("a/1", [NewEvent("Counted", "\0")])
        assert (await store.head()).position == 1
