"""The network between a log on PostgreSQL and its users: frozen, cut, ended, flooded."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
import psycopg
import pytest
from support.audit import audit_postgres
from support.logs import follows_each, positions, some, woken
from support.waiting import eventually, take, until

from eventstore import EventStore, StorageError, StoreClosedError, Subscription
from eventstore.notify._postgres import _received

if TYPE_CHECKING:
    from support.postgres import Server
    from support.proxy import Proxy

pytestmark = pytest.mark.anyio

SHORT = "%20-cstatement_timeout%3D500&connect_timeout=2"


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give up a frozen connection after a second, which in earnest is a minute."""
    monkeypatch.setattr("eventstore.storage.postgres.connection.GRACE_SECONDS", 0.5)
    monkeypatch.setattr("eventstore.storage.postgres.watchdog.TICK_SECONDS", 0.05)


@pytest.fixture
def url(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


async def listening(store: EventStore, other: EventStore) -> Subscription:
    """Return a subscription of a store that an append of the other one wakes."""
    subscription = store.subscribe_changes()
    await other.append("a/1", some(1))
    await take(subscription, 1)
    await woken(subscription, other)
    return subscription


def through(proxy: Proxy, url: str) -> str:
    """Name a log so that it is reached by the proxy, with short limits."""
    return proxy.url(url) + SHORT


@pytest.mark.promise("durable")
async def test_an_append_into_a_frozen_network_is_given_up_and_settled_later(
    proxy: Proxy, url: str
) -> None:
    async with EventStore.open(through(proxy, url), notify="none") as store:
        await store.append("a/1", some(1))
        frozen = proxy.when(b"COMMIT", proxy.freeze, sender="server")
        new, accepted = some(2), proxy.accepted
        with pytest.raises(StorageError) as caught:
            await store.append("a/1", new)
        assert caught.value.transient
        assert frozen.is_set()
        # It waits for the connection that froze, and for one that cannot be made.
        assert proxy.accepted - accepted <= 1
        proxy.thaw()
        again = await store.append("a/1", new)
        assert (again.position, again.duplicate) == (3, True)
    assert audit_postgres(url) == 3


@pytest.mark.promise("subscription")
@pytest.mark.slow
async def test_a_dozen_followers_outlive_a_network_that_freezes(proxy: Proxy, url: str) -> None:
    async with (
        EventStore.open(through(proxy, url), notify="none", poll=0.05) as store,
        EventStore.open(url, notify="none") as writer,
    ):
        followers = [store.subscribe_changes() for _ in range(12)]
        for follower in followers:
            await follower.__aenter__()
        proxy.freeze()
        got: list[list[int]] = []

        async def follow(subscription: Subscription) -> None:
            got.append(positions(await take(subscription, 3)))

        async with anyio.create_task_group() as tasks:
            for follower in followers:
                tasks.start_soon(follow, follower)
            await writer.append("a/1", some(3))
            await anyio.sleep(4)  # longer than anything waits for an answer here
            proxy.cut()
            proxy.thaw()
        assert got == [[1, 2, 3]] * 12


async def test_a_store_that_is_closed_on_a_frozen_network_ends_its_readers(
    proxy: Proxy, url: str
) -> None:
    ended: list[BaseException] = []
    async with anyio.create_task_group() as tasks:
        async with EventStore.open(through(proxy, url), notify="none") as store:
            proxy.freeze()

            async def read() -> None:
                try:
                    await store.head()
                except (StorageError, StoreClosedError) as error:
                    ended.append(error)

            tasks.start_soon(read)
            await anyio.wait_all_tasks_blocked()
        await until(lambda: ended)
    assert isinstance(ended[0], StoreClosedError)


async def test_a_subscription_begins_although_the_database_is_away(proxy: Proxy, url: str) -> None:
    async with (
        EventStore.open(through(proxy, url), notify="none") as store,
        EventStore.open(url, notify="none") as writer,
    ):
        await writer.append("a/1", some(2))
        proxy.refuse()
        proxy.cut()
        got: list[int] = []

        async def follow() -> None:
            got.extend(positions(await take(store.subscribe_changes(consumer="w"), 2)))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            with pytest.raises(StorageError):
                await store.head()
            assert not got
            proxy.accept()
        assert got == [1, 2]


async def test_a_listener_whose_session_was_ended_listens_again_and_wakes(
    postgres: Server, url: str
) -> None:
    named = f"{url}&application_name=listens"
    async with (
        EventStore.open(named, poll=3600) as store,
        EventStore.open(url) as other,
    ):
        subscription = await listening(store, other)
        for number in range(1, 4):

            async def reconnected(at_least: int = number) -> bool:
                if (await store.status())["reconnects"] >= at_least:
                    return True
                # A session that is about to end is still listed: end those that come after it too.
                postgres.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE application_name = 'listens' "
                    "AND (query LIKE 'LISTEN%' OR query = 'SELECT 1')"
                )
                return False

            await eventually(reconnected)
            await woken(subscription, other)


@pytest.mark.promise("subscription")
async def test_what_was_committed_while_nobody_listened_wakes_upon_reconnecting(
    proxy: Proxy, url: str
) -> None:
    async with (
        EventStore.open(through(proxy, url), poll=3600) as store,
        EventStore.open(url) as other,
    ):
        subscription = await listening(store, other)
        async with anyio.create_task_group() as tasks:
            got: list[int] = []

            async def follow() -> None:
                got.extend(positions(await take(subscription, 1)))

            tasks.start_soon(follow)
            await anyio.wait_all_tasks_blocked()
            proxy.refuse()
            proxy.cut()
            last = await other.append("a/1", some(1))
            # The notification has gone by; nothing but the reconnect is left to wake it.
            assert not got
            proxy.accept()
        assert got[0] <= last.position


@pytest.mark.slow
async def test_a_busy_publisher_s_wakes_are_few_and_none_is_the_last_to_be_missed(
    url: str,
) -> None:
    async with EventStore.open(url, poll=3600) as store, EventStore.open(url) as other:
        subscription = await listening(store, other)
        count = 1000
        last = (await other.head()).position + count

        async def follow() -> None:
            while subscription.position < last:
                await take(subscription, 1)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            for _ in range(count):
                await other.append("a/1", some(1))
        assert (await store.status())["wakes"] <= count


@pytest.mark.promise("subscription")
async def test_a_flood_of_notifications_neither_starves_nor_ends_the_listener(
    postgres: Server, url: str
) -> None:
    async with EventStore.open(url, poll=3600) as store, EventStore.open(url) as other:
        subscription = await listening(store, other)
        schema = url.rpartition("%3D")[2]
        flood = (
            "DO $$ BEGIN FOR i IN 1..60 LOOP PERFORM pg_notify('eventstore_' || "
            f"md5('{schema}'), n::text) FROM generate_series(i * 500, i * 500 + 499) n; COMMIT; "
            "END LOOP; END $$"
        )
        async with anyio.create_task_group() as tasks:
            for _ in range(3):
                tasks.start_soon(anyio.to_thread.run_sync, postgres.execute, flood)
            await woken(subscription, other)
        await woken(subscription, other)
        assert (await store.status())["reconnects"] == 0


async def test_a_program_with_a_thousand_open_files_is_woken(url: str) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 1400:
        pytest.skip("needs the right to 1,400 open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 1400), hard))
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        async with EventStore.open(url, poll=3600) as store, EventStore.open(url) as other:
            await listening(store, other)
    finally:
        for file in files:
            os.close(file)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_without_a_notifier_followers_read_on_their_timer(url: str) -> None:
    async with (
        EventStore.open(url, notify="none", poll=0.02) as store,
        EventStore.open(url, notify="none") as other,
    ):
        await follows_each(store, other)
        assert "reconnects" not in await store.status()


async def test_a_notification_that_came_with_an_answer_is_heard_at_once(postgres: Server) -> None:
    url = postgres.fresh_schema()
    with psycopg.connect(url, autocommit=True) as listener, psycopg.connect(url) as other:
        listener.execute("LISTEN told")
        listener.pgconn.send_query(b"SELECT 1")
        with socket.socket(fileno=os.dup(listener.fileno())) as wire:
            wire.setblocking(False)

            def has(part: bytes) -> bool:
                with suppress(BlockingIOError):
                    return part in wire.recv(65536, socket.MSG_PEEK)
                return False

            # The answer's end, and then the notification, both on their way when it is read.
            await eventually(partial(anyio.to_thread.run_sync, has, b"Z\0\0\0\5I"))
            other.execute("NOTIFY told, '17'")
            other.commit()
            await eventually(partial(anyio.to_thread.run_sync, has, b"told\x0017"))
        listener.pgconn.consume_input()
        while listener.pgconn.get_result() is not None:
            continue
        assert _received(listener, "") == 17
        assert _received(listener, "") is None
