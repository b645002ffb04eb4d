"""What only PostgreSQL needs: isolation, limits on time, pools, and sessions that end."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import anyio
import psycopg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError
from support.audit import audit_postgres
from support.logs import positions, some
from support.network import HOST
from support.processes import child, wait_for
from support.proxy import proxied
from support.spies import note_calls
from support.waiting import DEADLINE, collect, eventually

from eventstore import EventStore, NewEvent, StorageError
from eventstore.storage.postgres.backend import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from support.postgres import Server

    from eventstore.log.events import Cursor, Event

pytestmark = pytest.mark.anyio


@pytest.fixture
def url(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


def with_settings(url: str, **settings: str) -> str:
    """Let every session of a URL begin with these settings."""
    return url + "".join(f"%20-c{name}%3D{value}" for name, value in settings.items())


@contextmanager
def holding_the_head(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Hold the log as a stranger does who takes its lock and stays, doing nothing."""
    with psycopg.connect(url) as stranger:
        stranger.execute("SET idle_in_transaction_session_timeout = 0")
        stranger.commit()
        stranger.execute("SELECT * FROM head FOR UPDATE")
        yield stranger
        if not stranger.closed:
            stranger.rollback()


@contextmanager
def limited(store: EventStore, setting: str, limit: str) -> Iterator[None]:
    """Give the session that appends a short limit for the block, and no other one."""
    backend = store._backend
    assert isinstance(backend, PostgresBackend)
    assert backend._writer is not None
    raw: Any = backend._writer.connection.driver_connection
    ((before,),) = raw.execute("SELECT current_setting(%s)", (setting,)).fetchall()
    raw.execute("SELECT set_config(%s, %s, false)", (setting, limit))
    yield
    raw.execute("SELECT set_config(%s, %s, false)", (setting, before))


def counting_groups(store: EventStore, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Note how many operations each group has that is written from now on."""
    return note_calls(monkeypatch, store._backend, "write", lambda group, *_: len(group))


class Hiding:
    """A view whose statement fails, and that goes on as if nothing had been."""

    name = "hiding"

    def setup(self, connection: Any) -> None:
        connection.execute(text("CREATE TABLE IF NOT EXISTS hiding (x INTEGER PRIMARY KEY)"))

    def cursor(self, connection: Any) -> Cursor | None:
        return None

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        with suppress(IntegrityError):
            connection.execute(text("INSERT INTO hiding VALUES (1), (1)"))


@pytest.mark.promise("durable")
async def test_a_view_that_hides_an_error_of_the_database_fails_the_append(url: str) -> None:
    async with EventStore.open(url, notify="none", inline=[Hiding()]) as store:
        with pytest.raises(StorageError, match="nothing was stored"):
            await store.append("a/1", some(1))
        assert (await store.head()).position == 0


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_writers_agree_whatever_isolation_the_database_prefers(
    url: str, isolation: str
) -> None:
    strict = with_settings(url, default_transaction_isolation=isolation.replace(" ", "%5C%20"))
    with psycopg.connect(strict) as connection:
        assert connection.execute("SHOW default_transaction_isolation").fetchone() == (isolation,)
    async with (
        EventStore.open(strict, notify="none") as one,
        EventStore.open(strict, notify="none") as two,
        anyio.create_task_group() as tasks,
    ):

        async def write(store: EventStore) -> None:
            for _ in range(30):
                await store.append("a/1", some(1))

        for store in (one, one, two, two):
            tasks.start_soon(write, store)
    assert audit_postgres(url) == 120


@pytest.mark.parametrize("setting", ["lock_timeout", "statement_timeout"])
async def test_waiting_too_long_for_the_log_is_a_typed_error_and_leaves_nothing(
    url: str, setting: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(1))
        failed: list[StorageError] = []
        groups = counting_groups(store, monkeypatch)

        async def append() -> None:
            try:
                await store.append("a/1", some(1))
            except StorageError as error:
                failed.append(error)

        with holding_the_head(url), limited(store, setting, "300ms"):
            async with anyio.create_task_group() as tasks:
                for _ in range(20):
                    tasks.start_soon(append)
            # Each alone would wait as long again.
            assert len(groups) < 10
            assert positions(await collect(store.read())) == [1]
        assert [(error.timed_out, error.transient) for error in failed] == [(True, False)] * 20
        assert "timeout" in failed[0].reason
        assert (await store.append("a/1", some(1))).position == 2


@pytest.mark.promise("order")
async def test_a_writer_that_was_stopped_in_an_append_lets_the_others_go(
    postgres: Server, url: str
) -> None:
    short = with_settings(url, idle_in_transaction_session_timeout="500")
    with proxied(HOST, postgres.port) as proxy:
        # So that no answer comes before the client has said all that it will.
        proxy.delay(0.02)
        async with EventStore.open(url, notify="none") as store:
            await others_go_on(store, proxy.url(short))
    assert audit_postgres(url) == 2


async def others_go_on(store: EventStore, url: str) -> None:
    """Stop another process in the middle of an append, append, and let it go on."""
    with child("stopped_writer", url) as process:
        await anyio.to_thread.run_sync(wait_for, process, "ready")
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        await anyio.to_thread.run_sync(wait_for, process, "stopping")
        with anyio.fail_after(DEADLINE):
            assert (await store.append("b/1", some(1))).position == 1
            assert positions(await collect(store.read())) == [1]
        os.kill(process.pid, signal.SIGCONT)
        await anyio.to_thread.run_sync(wait_for, process, "appended 2")


async def test_others_outlast_a_writer_that_was_stopped(url: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        backend = store._backend
        assert isinstance(backend, PostgresBackend)
        assert backend._writer is not None
        raw: Any = backend._writer.connection.driver_connection
        limits = dict(
            raw.execute(
                "SELECT name, setting::int FROM pg_settings WHERE name LIKE '%timeout%'"
            ).fetchall()
        )
        idle, lock = limits["idle_in_transaction_session_timeout"], limits["lock_timeout"]
        assert 0 < idle < lock / 2
        assert lock < limits["statement_timeout"] < raw.patience * 1000


async def test_a_statement_may_take_as_long_as_the_url_says(url: str) -> None:
    async with EventStore.open(with_settings(url, statement_timeout="5min"), notify="none") as one:
        backend = one._backend
        assert isinstance(backend, PostgresBackend)
        assert backend._writer is not None
        assert backend._writer.connection.driver_connection.patience == 310  # type: ignore[union-attr]


@pytest.mark.slow
async def test_a_group_of_many_statements_may_take_longer_than_one(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.storage.postgres.connection.GRACE_SECONDS", 0.0)
    monkeypatch.setattr("eventstore.storage.postgres.watchdog.TICK_SECONDS", 0.05)

    class Slow(Hiding):
        def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
            connection.execute(text("SELECT pg_sleep(0.3)"))

    async with EventStore.open(url, notify="none") as store:
        for _ in range(4):
            await store.append("a/1", some(1024))
    patient = with_settings(url, statement_timeout="1000")
    # Caught up with at the opening: four pages, each within its time, all of them not.
    async with EventStore.open(patient, notify="none", inline=[Slow()]) as store:
        assert (await store.head()).position == 4096


async def test_a_database_that_only_reads_for_a_while_is_written_to_again(
    postgres: Server, url: str
) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(1))
    schema = url.rpartition("%3D")[2]
    role = f"turns_{schema}"
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x' IN ROLE tester")
    postgres.execute(f"ALTER ROLE {role} SET default_transaction_read_only = on")
    named = url.replace("//tester:", f"//{role}:")
    secret = psycopg.conninfo.conninfo_to_dict(url)["password"]
    postgres.execute(f"ALTER ROLE {role} PASSWORD '{secret}'")
    async with EventStore.open(named, notify="none") as store:
        with pytest.raises(StorageError, match="read-only") as caught:
            await store.append("a/1", some(1))
        assert caught.value.transient
        postgres.execute(f"ALTER ROLE {role} SET default_transaction_read_only = off")
        assert (await store.append("a/1", some(1))).position == 2


async def test_a_role_that_may_not_make_tables_appends_to_a_log_without_the_table_of_reports(
    postgres: Server, url: str
) -> None:
    async with EventStore.open(url, notify="none") as store:
        await store.append("a/1", some(1))
    schema = url.rpartition("%3D")[2]
    role = f"plain_{schema}"
    secret = psycopg.conninfo.conninfo_to_dict(url)["password"]
    postgres.execute(f"DROP TABLE {schema}.worker_report")
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{secret}'")
    postgres.execute(f"GRANT USAGE ON SCHEMA {schema} TO {role}")
    postgres.execute(f"GRANT SELECT, INSERT, UPDATE ON ALL TABLES IN SCHEMA {schema} TO {role}")
    async with EventStore.open(url.replace("//tester:", f"//{role}:"), notify="none") as store:
        assert (await store.append("a/1", some(1))).position == 2
        with pytest.raises(StorageError, match="permission denied"):
            await store.store_report("w1", "{}")
    async with EventStore.open(url, notify="none") as store:
        found = postgres.execute(f"SELECT to_regclass('{schema}.worker_report') IS NOT NULL")
        assert found == [(True,)]
        await store.store_report("w1", "{}")


async def test_a_poisoned_append_fails_alone(postgres: Server, url: str) -> None:
    class Picky(Hiding):
        def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
            if any(event.type == "Poison" for event in events):
                connection.execute(text("SELECT 1/0"))

    async with EventStore.open(url, notify="none", inline=[Picky()]) as store:
        outcomes: list[str] = []

        async def waiting() -> bool:
            found = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'"
            return bool(await anyio.to_thread.run_sync(postgres.execute, found))

        async def append(kind: str) -> None:
            try:
                await store.append("a/1", [NewEvent(kind, 0)])
            except Exception as error:
                outcomes.append(type(error).__name__)
            else:
                outcomes.append(kind)

        async with anyio.create_task_group() as tasks:
            with holding_the_head(url):
                tasks.start_soon(append, "Good")
                # The first waits for the head, and so the others become one group.
                await eventually(waiting)
                for kind in ("Poison", "Good", "Good", "Poison"):
                    tasks.start_soon(append, kind)
                await anyio.wait_all_tasks_blocked()
        assert sorted(outcomes) == ["Good"] * 3 + ["ProjectionError"] * 2
    assert audit_postgres(url) == 3


async def test_looking_up_ids_does_not_read_the_whole_log_each_time(
    postgres: Server, url: str
) -> None:
    async with EventStore.open(url, notify="none") as store:
        for count, size in ((20, 4), (1, 4000), (50, 4)):
            for number in range(count):
                new = [NewEvent("T", 0, id=f"{count}-{number}-{part}") for part in range(size)]
                await store.append("s/1", new)

    async def told() -> list[tuple[int, int]]:
        # What a session has done is counted once it ends.
        return postgres.execute(
            "SELECT n_tup_ins, seq_tup_read FROM pg_stat_user_tables "
            "WHERE schemaname = %s AND relname = 'event' AND n_tup_ins > 0",
            url.rpartition("%3D")[2],
        )

    await eventually(told)
    ((written, read),) = await told()
    assert written == 4280
    assert read < 2 * written
