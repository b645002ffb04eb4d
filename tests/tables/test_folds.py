"""Folds: a state in memory, its snapshot beside the log, and what makes that unusable."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from sqlalchemy import text
from support.waiting import until

from eventstore import ConfigError, EventStore, EventTypes, HistoryGoneError, ProjectionError
from eventstore import NewEvent as New
from projections import Fold, FoldRunner, handles
from projections.tables.view_facts import look_at_views
from projections.tables.view_model import SavedFold

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from eventstore import Event

pytestmark = pytest.mark.anyio


class Paid(msgspec.Struct):
    amount: int


class Balances(msgspec.Struct):
    of: dict[str, int] = {}
    highest: int = 0


class Book(Fold[Balances]):
    name, version = "book", 1
    event_types = EventTypes(Paid)

    def initial(self) -> Balances:
        return Balances()

    @handles(Paid)
    def paid(self, state: Balances, event: Event, paid: Paid) -> None:
        state.of[event.stream] = state.of.get(event.stream, 0) + paid.amount
        state.highest = max(state.highest, paid.amount)
        if paid.amount < 0:
            raise ZeroDivisionError("after a change")


class NewBook(Book):
    version = 2


class Sum(Fold[int]):
    name, version = "sum", 1

    def initial(self) -> int:
        return 0

    def handle(self, state: int, event: Event) -> int:
        return state + 1


class Counting(Book):
    """Notes the positions that were applied."""

    def __init__(self) -> None:
        self.applied: list[int] = []

    def after(self, state: Balances, event: Event) -> Balances:
        self.applied.append(event.position)
        return super().after(state, event)


@pytest.fixture
async def store(log: str) -> AsyncIterator[EventStore]:
    """Give an open store."""
    async with EventStore.open(log, notify="none") as store:
        yield store


async def pay(store: EventStore, *amounts: int) -> None:
    for amount in amounts:
        await store.append(f"a/{amount % 2}", [New("Paid", {"amount": amount}), New("Seen", None)])


async def snapshot(store: EventStore, fold: Fold[Balances] | None = None) -> None:
    runner = FoldRunner(store, fold or Book())
    await runner.catch_up()
    await runner.save()


async def change(store: EventStore, statement: str) -> None:
    await store.transact(lambda connection: connection.exec_driver_sql(statement))


async def test_a_state_is_resumed_from_its_snapshot(store: EventStore) -> None:
    await pay(store, 1, 2, 3)
    first = FoldRunner(store, Book())
    assert await first.catch_up() == Balances({"a/1": 4, "a/0": 2}, 3)
    assert first.cursor == (await store.head()).cursor
    await first.save()
    (listed,) = (await look_at_views(store)).folds
    assert listed == SavedFold("book", 1, 6, len(Book().encode(first.state)), is_of_log=True)
    await pay(store, 4)
    fold = Counting()
    again = FoldRunner(store, fold)
    assert await again.catch_up() == Balances({"a/1": 4, "a/0": 6}, 4)
    assert fold.applied == [7]
    assert await again.verify()
    assert await again.catch_up() == again.state
    assert await FoldRunner(store, Sum()).catch_up() == 8


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE projection_snapshot SET position = 1",
        "UPDATE projection_snapshot SET state = digest",
        "UPDATE projection_snapshot SET version = 1 WHERE version = 2",
    ],
)
async def test_a_snapshot_that_was_changed_is_not_used(store: EventStore, statement: str) -> None:
    await pay(store, 1)
    await snapshot(store, NewBook() if "version" in statement else None)
    await change(store, statement)
    fold = Counting()
    await FoldRunner(store, fold).catch_up()
    assert fold.applied == [1]


async def test_a_snapshot_of_another_version_is_not_used_and_goes(store: EventStore) -> None:
    await pay(store, 1)
    await snapshot(store, Book())
    fold = Counting()
    type(fold).version, version = 2, type(fold).version
    try:
        runner = FoldRunner(store, fold)
        await runner.catch_up()
        assert fold.applied == [1]
        await runner.save()
    finally:
        type(fold).version = version
    count = text("SELECT count(*) FROM projection_snapshot")
    assert await store.query(lambda connection, _: connection.scalar(count)) == 1


async def test_a_snapshot_of_another_history_is_not_used(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    if kind != "sqlite":
        pytest.skip("a backup is a file")
    copy = tmp_path / "copy.db"
    async with EventStore.open(f"sqlite:///{tmp_path}/events.db", notify="none") as store:
        await pay(store, 1)
        await store.backup(copy)
        await pay(store, 2)
        await snapshot(store)
        row = await store.query(
            lambda connection, _: (
                connection.exec_driver_sql("SELECT * FROM projection_snapshot").mappings().one()
            )
        )
    async with EventStore.open(f"sqlite:///{copy}", notify="none") as store:
        await pay(store, 3)
        await snapshot(store)
        names, values = ", ".join(row), tuple(row.values())
        marks = ", ".join("?" * len(values))
        insert = f"REPLACE INTO projection_snapshot ({names}) VALUES ({marks})"
        await store.transact(lambda connection: connection.exec_driver_sql(insert, values))
        assert await FoldRunner(store, Book()).catch_up() == Balances({"a/1": 4}, 3)
    assert "of another history" in caplog.text


async def test_what_is_redacted_leaves_the_state_and_the_snapshot(store: EventStore) -> None:
    await pay(store, 1, 9)
    await snapshot(store)
    runner = FoldRunner(store, Book())
    await runner.catch_up()
    await store.redact(3, reason="secret")
    assert await runner.catch_up() == Balances({"a/1": 1}, 1)
    rows = text("SELECT count(*) FROM projection_snapshot")
    assert await store.query(lambda connection, _: connection.scalar(rows)) == 0
    assert await FoldRunner(store, Book()).catch_up() == Balances({"a/1": 1}, 1)
    assert await runner.verify()


async def test_a_handler_that_fails_leaves_no_half_of_its_change(store: EventStore) -> None:
    await pay(store, 1)
    await snapshot(store)
    await pay(store, -1)
    runner = FoldRunner(store, Book())
    with pytest.raises(ProjectionError, match="'book' stopped at position 3: ZeroDivisionError"):
        await runner.catch_up()
    assert (runner.state, runner.cursor) == (Balances(), None)
    with pytest.raises(ProjectionError):
        await runner.catch_up()


async def test_a_snapshot_outlives_a_trim_and_without_one_the_past_is_missed(
    store: EventStore, tmp_path: Path
) -> None:
    await pay(store, 1, 2)
    await snapshot(store)
    await store.trim(4, archive=tmp_path / "archive")
    await pay(store, 3)
    assert await FoldRunner(store, Book()).catch_up() == Balances({"a/1": 4, "a/0": 2}, 3)
    with pytest.raises(HistoryGoneError):
        await FoldRunner(store, Sum()).catch_up()


async def test_a_state_follows_the_log_and_is_snapshotted(store: EventStore) -> None:
    runner = FoldRunner(store, Book())

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: runner.run(snapshot_every=2))
        await pay(store, 1, 2, 3)
        await until(lambda: runner.state.highest == 3)
        tasks.cancel_scope.cancel()
    await pay(store, 4)
    fold = Counting()
    assert (await FoldRunner(store, fold).catch_up()).highest == 4
    assert set(fold.applied) <= {5, 7}


def test_a_fold_is_checked_where_it_is_defined() -> None:
    with pytest.raises(ConfigError, match="has no name"):
        type("Nameless", (Fold,), {"version": 1, "on": Book.paid, "event_types": Book.event_types})

    async def later(self: Any, state: Any, event: Any) -> None:
        """Do nothing, later."""

    with pytest.raises(ConfigError, match=r"Late\.handle is async def"):
        type("Late", (Book,), {"handle": later})
    idle = type("Idle", (Fold,), {"name": "idle", "initial": lambda self: 0})
    with pytest.raises(ConfigError, match="does nothing with events"):
        FoldRunner(EventStore.open("memory://"), idle())
