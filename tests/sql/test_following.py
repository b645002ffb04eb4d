"""Followers of the log see each transaction, and copies are computed from the log alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import psycopg
import pytest
from support.postgres import shared_server
from support.sql_tables import PEOPLE, assert_computed, changes, dump_file, read_log
from support.waiting import DEADLINE

from eventstore import EventStore, limits
from eventstore.errors import HistoryDivergedError, LimitExceededError
from projections import ProjectionRunner
from projections.sql import SqlCopy, SqlStorage, read_rows
from projections.sql.events import LARGE_BYTES, PART_BYTES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from support.sql_tables import Migrations

    from eventstore import Cursor, Event


@pytest.fixture
def people(storage: SqlStorage, migrations: Migrations) -> SqlStorage:
    storage.apply_migrations(migrations.write("1", PEOPLE))
    return storage


def add(storage: SqlStorage, *ids: int) -> None:
    with storage.connection() as c:
        c.executemany("INSERT INTO person (id, note) VALUES (?, ?)", [(i, i / 7) for i in ids])


@pytest.mark.anyio
async def test_a_follower_is_woken_by_each_transaction(people: SqlStorage, url: str) -> None:
    async with (
        EventStore.open(url, poll=DEADLINE * 2) as store,
        store.subscribe_changes(types=["RowsChanged"]) as subscription,
    ):
        for number in (1, 2, 3):
            await anyio.to_thread.run_sync(add, people, number, number + 10)
            with anyio.fail_after(DEADLINE):
                event = await anext(subscription)
            keys = [dict(one.key) for one in read_rows([event])]
            assert keys == [{"id": number}, {"id": number + 10}]


@pytest.mark.anyio
async def test_a_copy_in_another_file_is_kept_from_the_log_alone(
    people: SqlStorage, migrations: Migrations, url: str, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    async with EventStore.open(url) as store:
        runner = ProjectionRunner(store, SqlCopy(f"sqlite:///{copy}"))
        add(people, 1, 2)
        await runner.catch_up()
        with people.connection() as c:
            c.execute("UPDATE person SET id = 5, name = 'ana' WHERE id = 1")
        migrations.write("2", "ALTER TABLE person ADD COLUMN extra DEFAULT 3; DELETE FROM person;")
        people.apply_migrations(migrations.directory)
        add(people, 7)
        await runner.catch_up()
        assert dump_file(copy) == dump_file(tmp_path / "log.db")
        await runner.rebuild()
        assert dump_file(copy) == dump_file(tmp_path / "log.db")
        head = await store.head()
        await runner.catch_up(until=head.position - 1)
        assert dump_file(copy)["person"] == []


@pytest.mark.anyio
async def test_a_copy_of_another_log_is_refused(
    people: SqlStorage, url: str, tmp_path: Path
) -> None:
    copy = SqlCopy(f"sqlite:///{tmp_path / 'copy.db'}")
    add(people, 1)
    async with EventStore.open(url) as store:
        await ProjectionRunner(store, copy).catch_up()
    async with EventStore.open("memory://") as store:
        with pytest.raises(HistoryDivergedError):
            await ProjectionRunner(store, copy).catch_up()


class Seen:
    """An inline view that notes what it was given."""

    name = "seen"

    def __init__(self) -> None:
        self.positions: list[int] = []
        self._at: Cursor | None = None

    def setup(self, connection: object) -> None:
        """Need nothing."""

    def cursor(self, connection: object) -> Cursor | None:
        return self._at

    def apply(self, connection: object, events: Sequence[Event], cursor: Cursor) -> None:
        self.positions += [event.position for event in events]
        self._at = cursor


def test_an_inline_view_sees_the_transaction_in_its_own_commit(
    url: str, migrations: Migrations
) -> None:
    view = Seen()
    with SqlStorage(url, inline=[view]) as storage:
        storage.apply_migrations(migrations.write("1", PEOPLE))
        add(storage, 1)
    assert view.positions == [1, 2]


def test_a_transaction_too_large_for_one_event_goes_on_in_others(
    people: SqlStorage, url: str, tmp_path: Path
) -> None:
    rows = [(number, "x" * 1000) for number in range(3 * PART_BYTES // 1000)]
    with people.connection() as c:
        c.executemany("INSERT INTO person (id, note) VALUES (?, ?)", rows)
    events = read_log(url)[1:]
    assert len({event.commit for event in events}) == 1
    assert [event.data["part"] for event in events] == list(range(1, len(events) + 1))
    assert 3 <= len(events) <= 5
    assert_computed(url)


@pytest.mark.slow
def test_large_values_are_events_of_their_own(people: SqlStorage, url: str, tmp_path: Path) -> None:
    text = "\0é" * LARGE_BYTES
    with people.connection() as c:
        c.execute("INSERT INTO person (id, name, note) VALUES (1, 'a', ?)", (text,))
    with people.connection() as c:
        c.execute("UPDATE person SET name = 'b'")
        c.execute("UPDATE person SET note = CAST(note || x'ff' AS TEXT)")
    assert changes(url)[0][0][3] == (1, "a", text)
    assert_computed(url)


def test_a_blob_of_ten_megabytes_comes_back(people: SqlStorage, url: str, tmp_path: Path) -> None:
    blob = b"\x00\xff" * 5_000_000
    with people.connection() as c:
        c.execute("INSERT INTO person (id, note) VALUES (1, ?)", (blob,))
    assert changes(url)[0][0][3] == (1, None, blob)
    assert_computed(url)


def test_what_no_commit_can_hold_is_refused_and_leaves_nothing(
    people: SqlStorage, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_COMMIT_BYTES", 1000)
    with pytest.raises(LimitExceededError):
        add(people, *range(100))
    monkeypatch.undo()
    add(people, 1)
    assert len(changes(url)) == 1


@pytest.mark.slow
def test_a_copy_that_was_closed_is_free_before_its_server_sees_the_connection_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    there = shared_server().fresh_schema()
    first, second = SqlCopy(there), SqlCopy(there)
    first.open("some log")
    late: list[psycopg.Connection] = []

    def stay_open(connection: psycopg.Connection) -> None:
        late.append(connection)

    with monkeypatch.context() as patched:
        patched.setattr(psycopg.Connection, "close", stay_open)
        first.close()
    assert len(late) == 1
    second.open("some log")
    second.close()
    late[0].close()
