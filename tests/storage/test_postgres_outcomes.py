"""Connections to PostgreSQL lost within a call: what the caller is told, and what is true."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import anyio
import psycopg
import pytest
from sqlalchemy import text
from support.audit import audit_postgres
from support.logs import positions, some
from support.network import HOST, free_port
from support.postgres import private_server
from support.proxy import proxied
from support.waiting import DEADLINE, collect, eventually, take

from eventstore import Cursor, EventStore, StorageError
from eventstore.storage.postgres.backend import PostgresBackend
from eventstore.storage.postgres.connection import is_lost

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from support.postgres import Server
    from support.proxy import Proxy

    from eventstore.log.events import Event

pytestmark = pytest.mark.anyio

PATIENCE = "%20-clock_timeout%3D300"
"""Ends a URL: milliseconds that an append waits for the log."""


@pytest.fixture
def url(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


@contextmanager
def stranger(url: str) -> Iterator[psycopg.Connection[Any]]:
    """Give a session that may hold the log without the server's ending it."""
    with psycopg.connect(url) as connection:
        connection.execute("SET idle_in_transaction_session_timeout = 0")
        connection.commit()
        yield connection
        connection.rollback()


def cut_at_commit_after(proxy: Proxy, word: bytes) -> None:
    """Cut when the server says COMMIT to the transaction in which a client sends ``word``."""
    proxy.when(word, lambda: proxy.when(b"COMMIT", proxy.cut, sender="server"))


async def waits_for_the_head(postgres: Server) -> bool:
    """Tell whether a session waits for another one's row."""
    found = "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
    return bool(await anyio.to_thread.run_sync(postgres.execute, found))


@pytest.mark.promise("durable")
async def test_an_append_cut_off_while_it_waits_is_written_again(
    postgres: Server, proxy: Proxy, url: str
) -> None:
    async with EventStore.open(proxy.url(url), notify="none") as store:
        for number in range(1, 6):
            with stranger(url) as other:
                other.execute("SELECT * FROM head FOR UPDATE")
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(store.append, "a/1", some(1))
                    await eventually(lambda: waits_for_the_head(postgres))
                    proxy.cut()
                    other.rollback()
            assert (await store.head()).position == number
    assert audit_postgres(url) == 5


def test_an_error_that_has_no_state_is_the_connection_s() -> None:
    # libpq makes up a result where the connection ends within a pipeline; psycopg has no class
    # for what carries no state.
    assert is_lost(psycopg.DatabaseError("server closed the connection unexpectedly"))
    assert is_lost(psycopg.OperationalError("server closed the connection unexpectedly"))
    assert not is_lost(psycopg.DataError("cannot dump"))
    assert not is_lost(psycopg.errors.UniqueViolation("twice"))


def test_an_error_with_a_state_of_somebody_s_own_is_not_the_connection_s(url: str) -> None:
    own = "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'ZZ001'; END $$"
    with psycopg.connect(url) as connection, pytest.raises(psycopg.DatabaseError) as caught:
        connection.execute(own)
    assert type(caught.value) is psycopg.DatabaseError
    assert not is_lost(caught.value)


@pytest.mark.promise("durable")
async def test_a_second_try_that_times_out_does_not_claim_that_nothing_was_stored(
    proxy: Proxy, url: str
) -> None:
    async with EventStore.open(proxy.url(url) + PATIENCE, notify="none") as store:
        await store.append("a/1", some(1))
        with stranger(url) as other:

            def cut_and_hold() -> None:
                proxy.cut()
                other.execute("SELECT * FROM head FOR UPDATE")

            proxy.when(b"COMMIT", cut_and_hold, sender="server")
            new = some(2)
            with pytest.raises(StorageError) as caught:
                await store.append("a/1", new)
            assert (caught.value.transient, caught.value.timed_out) == (True, False)
            assert "lock timeout" in caught.value.reason
        again = await store.append("a/1", new)
        assert (again.position, again.duplicate) == (3, True)
    assert audit_postgres(url) == 3


@pytest.mark.promise("subscription")
async def test_progress_that_shares_a_group_that_timed_out_is_stored_later(
    postgres: Server, url: str
) -> None:
    async with EventStore.open(url + PATIENCE, notify="none") as store:
        await store.append("a/1", some(5))
        subscription = store.subscribe_changes(consumer="w")
        await take(subscription, 3)
        await subscription.ack(flush=True)
        with stranger(url) as other:
            other.execute("SELECT * FROM head FOR UPDATE")

            async def fails() -> None:
                with pytest.raises(StorageError) as caught:
                    await store.append("a/1", some(1))
                assert caught.value.timed_out

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(fails)
                await eventually(lambda: waits_for_the_head(postgres))
                # The writer is busy: this and the progress become its next group.
                tasks.start_soon(fails)
                await take(subscription, 1)
                await subscription.ack()

        async def stored() -> bool:
            (state,) = await store.consumers()
            return state.cursor.position == 4

        await eventually(stored)


async def test_a_trim_whose_answer_was_lost_says_what_it_did(
    proxy: Proxy, url: str, tmp_path: Path
) -> None:
    async with EventStore.open(proxy.url(url), notify="none") as store:
        for _ in range(4):
            await store.append("a/1", some(1))
        cut_at_commit_after(proxy, b"HistoryTrimmed")
        done = await store.trim(3, archive=tmp_path / "old.export")
        assert (done.first_position, done.events) == (3, 2)
        assert proxy.accepted > 1
        assert positions(await collect(store.read(after=2))) == [3, 4, 5]
        assert (await store.append("a/1", some(1))).position == 6


async def test_a_redaction_whose_answer_was_lost_is_there_once(proxy: Proxy, url: str) -> None:
    async with EventStore.open(proxy.url(url), notify="none") as store:
        await store.append("a/1", some(2))
        cut_at_commit_after(proxy, b"log/redactions")
        assert (await store.redact(1, reason="asked for", by="ana")).position == 3
        events = await collect(store.read())
        assert [event.redacted for event in events] == [True, False, False]
    assert audit_postgres(url) == 3


async def test_a_consumer_whose_opening_was_lost_owns_its_name(proxy: Proxy, url: str) -> None:
    async with EventStore.open(proxy.url(url), notify="none") as store:
        await store.append("a/1", some(3))
        cut_at_commit_after(proxy, b"INSERT INTO consumer")
        async with store.subscribe_changes(consumer="w") as subscription:
            assert positions(await take(subscription, 3)) == [1, 2, 3]
            await subscription.ack(flush=True)
        (state,) = await store.consumers()
        assert (state.name, state.cursor.position) == ("w", 3)


@pytest.mark.promise("durable")
@pytest.mark.parametrize(
    ("given", "used"), [("off", "on"), ("local", "local"), ("remote_apply", "remote_apply")]
)
async def test_no_setting_lets_the_server_acknowledge_what_is_not_on_disk(
    url: str, given: str, used: str
) -> None:
    async with EventStore.open(f"{url}%20-csynchronous_commit%3D{given}", notify="none") as store:
        backend = store._backend
        assert isinstance(backend, PostgresBackend)
        assert backend._writer is not None
        raw: Any = backend._writer.connection.driver_connection
        assert raw.execute("SHOW synchronous_commit").fetchone() == (used,)


@pytest.mark.promise("durable")
async def test_of_several_hosts_one_that_writes_is_found_unasked(
    postgres: Server, url: str
) -> None:
    with private_server() as reads:
        secret = psycopg.conninfo.conninfo_to_dict(url)["password"]
        reads.execute(f"ALTER ROLE tester PASSWORD '{secret}'")
        reads.execute("ALTER ROLE tester SET default_transaction_read_only = on")
        place = f"{HOST}:{postgres.port}"
        hosts = url.replace(place, f"{HOST}:{free_port()},{HOST}:{reads.port},{place}")
        async with EventStore.open(hosts, notify="none") as store:
            assert (await store.append("a/1", some(1))).position == 1
            assert positions(await collect(store.read())) == [1]
        with pytest.raises(StorageError, match="read-only"):
            async with EventStore.open(f"{hosts}&target_session_attrs=any", notify="none"):
                pass
    assert audit_postgres(url) == 1


class Counting:
    """An inline view that cannot be told the same twice: a row for each event, and a cursor."""

    name = "counting"

    def setup(self, connection: Any) -> None:
        connection.execute(text("CREATE TABLE IF NOT EXISTS seen (position bigint PRIMARY KEY)"))
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS at (log text, position bigint, h bytea)")
        )

    def cursor(self, connection: Any) -> Cursor | None:
        row = connection.execute(text("SELECT log, position, h FROM at")).fetchone()
        return Cursor(row[0], row[1], bytes(row[2])) if row else None

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        for event in events:
            connection.execute(text("INSERT INTO seen VALUES (:at)"), {"at": event.position})
        connection.execute(text("DELETE FROM at"))
        new = {"log": cursor.log_id, "position": cursor.position, "h": cursor.hash}
        connection.execute(text("INSERT INTO at VALUES (:log, :position, :h)"), new)


@pytest.mark.promise("subscription")
async def test_an_inline_view_is_told_once_whenever_the_connection_is_lost(
    proxy: Proxy, url: str
) -> None:
    async with EventStore.open(proxy.url(url), notify="none", inline=[Counting()]) as store:
        for number in range(1, 5):
            by_server = number % 2 == 0
            fired = proxy.when(b"COMMIT", proxy.cut, sender="server" if by_server else "client")
            assert (await store.append("a/1", some(1))).duplicate == by_server
            assert fired.is_set()
    with psycopg.connect(url) as connection:
        seen = connection.execute("SELECT position FROM seen ORDER BY position").fetchall()
    assert seen == [(1,), (2,), (3,), (4,)]


@pytest.mark.promise("subscription")
async def test_a_server_that_takes_no_more_sessions_is_outlived(
    postgres: Server, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    role = f"few_{url.rpartition('%3D')[2]}"
    secret = psycopg.conninfo.conninfo_to_dict(url)["password"]
    postgres.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{secret}' IN ROLE tester")
    named = url.replace("//tester:", f"//{role}:")
    async with (
        EventStore.open(url, notify="none") as writer,
        EventStore.open(named, notify="none", poll=0.05) as store,
    ):
        subscription = store.subscribe_changes()
        await writer.append("a/1", some(1))
        await take(subscription, 1)
        postgres.execute(f"ALTER ROLE {role} CONNECTION LIMIT 0")
        postgres.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = %s", role
        )
        with pytest.raises(StorageError, match="too many connections") as caught:
            await store.append("a/1", some(1))
        assert caught.value.transient
        async with anyio.create_task_group() as tasks:
            got: list[int] = []

            async def follow() -> None:
                got.extend(positions(await take(subscription, 2)))

            tasks.start_soon(follow)
            await writer.append("a/1", some(2))

            async def met() -> bool:
                return "following goes on once it can be read again" in caplog.text

            await eventually(met)
            assert not got
            postgres.execute(f"ALTER ROLE {role} CONNECTION LIMIT -1")
        assert got == [2, 3]
        assert (await store.append("a/1", some(1))).position == 4


@pytest.mark.promise("durable")
@pytest.mark.slow
async def test_closing_on_a_frozen_network_tells_who_waits_for_an_append(
    proxy: Proxy, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.storage.postgres.connection.GRACE_SECONDS", 0.5)
    monkeypatch.setattr("eventstore.storage.postgres.watchdog.TICK_SECONDS", 0.05)
    monkeypatch.setattr("eventstore.notify._postgres.HEARTBEAT_SECONDS", 0.5)
    short = f"{proxy.url(url)}%20-cstatement_timeout%3D500&connect_timeout=2"
    new, told = some(2), list[StorageError]()

    async def append(store: EventStore) -> None:
        try:
            await store.append("a/1", new)
        except StorageError as error:
            told.append(error)

    with anyio.fail_after(DEADLINE):
        async with anyio.create_task_group() as tasks, EventStore.open(short) as store:
            await store.append("a/1", some(1))
            frozen = proxy.when(b"COMMIT", proxy.freeze, sender="server")
            tasks.start_soon(append, store)
            assert await anyio.to_thread.run_sync(frozen.wait, DEADLINE)
    assert [error.transient for error in told] == [True]
    proxy.cut()
    proxy.thaw()
    async with EventStore.open(url, notify="none") as store:
        assert (await store.append("a/1", new)).duplicate
    assert audit_postgres(url) == 3


async def test_the_next_host_takes_over_in_the_middle_of_work(
    postgres: Server, proxy: Proxy, url: str
) -> None:
    place = f"{HOST}:{postgres.port}"
    with proxied(HOST, postgres.port) as spare:
        both = url.replace(place, f"{HOST}:{proxy.port},{HOST}:{spare.port}")
        async with EventStore.open(both, poll=3600) as store, EventStore.open(url) as other:
            subscription = store.subscribe_changes()
            assert (await store.append("a/1", some(1))).position == 1
            await take(subscription, 1)
            # What others append its listener tells, so it is there once this was seen.
            await other.append("a/1", some(1))
            await take(subscription, 1)
            assert spare.accepted == 0
            proxy.refuse()
            proxy.cut()
            assert (await store.append("a/1", some(1))).position == 3
            assert positions(await take(subscription, 1)) == [3]
            await other.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [4]
            assert spare.accepted >= 2
    assert audit_postgres(url) == 4
