"""Waking by Redis: early when it works, harmless when it does not, deaf to forgers."""

from __future__ import annotations

import random
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import LASTING, LOG_URLS, positions, some
from support.network import HOST
from support.proxy import proxied
from support.redis import private_redis, shared_redis
from support.spies import note_calls
from support.waiting import DEADLINE, eventually, take, until

from eventstore import END, ConfigError, EventStore
from eventstore.notify._redis import channel
from eventstore.notify._signed_messages import Signer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from eventstore import Subscription

pytestmark = pytest.mark.anyio

KEY = "the key that the fleet shares"
QUIET = 3600.0
"""A poll that no test waits for: an event that arrives is due to a wake-up."""


@pytest.fixture(params=LASTING)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Name a log that two stores can open."""
    return LOG_URLS[request.param](tmp_path)


@asynccontextmanager
async def pair(
    url: str, notify: str, keys: list[str], poll: float = QUIET
) -> AsyncIterator[tuple[EventStore, EventStore, Subscription]]:
    """Open a writer and a follower that is listening and has caught up."""
    async with (
        EventStore.open(url, notify=notify, notify_keys=keys) as writer,
        EventStore.open(url, notify=notify, notify_keys=keys, poll=poll) as reader,
        reader.subscribe_changes(after=END) as subscription,
    ):
        await writer.append("a/0", some(1))
        assert positions(await take(subscription, 1)) == [1]
        yield writer, reader, subscription


def count(store: EventStore, name: str) -> int:
    return int(store._notifier.describe().get(f"messages_{name}", 0))


@pytest.mark.parametrize("keys", [[], [KEY]])
async def test_an_append_wakes_a_follower_of_another_store(url: str, keys: list[str]) -> None:
    async with pair(url, shared_redis().url, keys) as (writer, reader, subscription):
        for number in range(2, 12):
            await writer.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [number]
        assert count(reader, "news" if keys else "hints") >= 10


async def test_signed_events_need_no_look_at_the_log(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with pair(url, shared_redis().url, [KEY]) as (writer, reader, subscription):
        await writer.append("a/1", some(1))
        await take(subscription, 1)
        queries = note_calls(monkeypatch, reader._log, "_read_page")
        for number in range(50):
            done = await writer.append(f"a/{number}", some(3))
            assert positions(await take(subscription, 3))[-1] == done.position
        assert len(queries) <= 2


async def test_what_two_writers_publish_out_of_turn_arrives_in_order(url: str) -> None:
    redis = shared_redis().url
    async with (
        pair(url, redis, [KEY]) as (first, _, subscription),
        EventStore.open(url, notify=redis, notify_keys=[KEY]) as second,
        anyio.create_task_group() as tasks,
    ):

        async def write(store: EventStore) -> None:
            for _ in range(100):
                await store.append("a/1", some(1))

        tasks.start_soon(write, first)
        tasks.start_soon(write, second)
        assert positions(await take(subscription, 200)) == list(range(2, 202))


@pytest.mark.promise("subscription")
async def test_a_server_that_is_killed_and_started_again_loses_nothing(url: str) -> None:
    with private_redis() as redis:
        async with pair(url, redis.url, [KEY]) as (writer, _, subscription):
            await anyio.to_thread.run_sync(redis.kill)
            with anyio.fail_after(DEADLINE):
                await writer.append("a/1", some(5))
            await anyio.to_thread.run_sync(redis.start)
            assert positions(await take(subscription, 5)) == [2, 3, 4, 5, 6]
            await writer.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [7]


@pytest.mark.promise("subscription")
async def test_a_server_that_freezes_delays_no_append_and_is_noticed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with private_redis() as redis:
        async with pair(url, redis.url, [KEY]) as (_, reader, subscription):
            # The writer's connection waits for an answer for longer than the test does.
            monkeypatch.setattr("eventstore.notify._redis_client.TIMEOUT_SECONDS", 2 * DEADLINE)
            async with EventStore.open(url, notify=redis.url, notify_keys=[KEY]) as writer:
                await writer.append("a/1", some(1))
                assert positions(await take(subscription, 1)) == [2]
                await until(lambda: count(reader, "news") >= 2)
                redis.freeze()
                with anyio.fail_after(DEADLINE):
                    await writer.append("a/1", some(1))

                await until(lambda: "trouble" in reader._notifier.describe())
                redis.thaw()
                assert positions(await take(subscription, 1)) == [3]


@pytest.mark.promise("subscription")
@pytest.mark.parametrize("keys", [[], [KEY]])
async def test_what_could_not_be_published_is_once_that_works_again(
    url: str, keys: list[str]
) -> None:
    redis = shared_redis()
    with proxied(HOST, redis.port) as proxy:
        async with (
            EventStore.open(url, notify=proxy.url(redis.url), notify_keys=keys) as writer,
            EventStore.open(url, notify=redis.url, notify_keys=keys, poll=QUIET) as reader,
            reader.subscribe_changes(after=END) as subscription,
        ):
            await writer.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [1]
            proxy.refuse()
            proxy.cut()
            await writer.append("a/1", some(1))

            async def failed() -> bool:
                return count(writer, "unsent") > 0

            await eventually(failed)
            proxy.accept()
            assert positions(await take(subscription, 1)) == [2]

            async def untroubled() -> bool:
                return "trouble" not in writer._notifier.describe()

            await eventually(untroubled)


async def test_who_may_not_publish_looks_for_itself_and_complains_of_nothing(url: str) -> None:
    with private_redis() as redis:
        with redis.client() as client:
            rules = ("~*", "&*", "+@all", "-publish")
            client.execute_command("ACL", "SETUSER", "worker", "on", ">secret", *rules)
        limited = redis.url.replace("://", "://worker:secret@")
        async with (
            EventStore.open(url, notify=limited, poll=0.05) as reader,
            reader.subscribe_changes() as subscription,
            anyio.create_task_group() as tasks,
        ):
            tasks.start_soon(take, subscription, 1)

            async def looked(times: int) -> bool:
                return reader.feed.tail.reads >= times

            await eventually(partial(looked, 5))
            # What was found before the first answer came was in the queue already.
            unsent = count(reader, "unsent")
            await eventually(partial(looked, reader.feed.tail.reads + 20))
            assert 1 <= count(reader, "unsent") <= unsent + 5
            assert "trouble" not in reader._notifier.describe()
            tasks.cancel_scope.cancel()


async def test_without_any_server_followers_read_on_a_timer(url: str) -> None:
    with private_redis() as redis:
        nowhere = redis.url
    async with (
        EventStore.open(url, notify=nowhere) as writer,
        EventStore.open(url, notify=nowhere, poll=0.05) as reader,
        reader.subscribe_changes() as subscription,
    ):
        with anyio.fail_after(DEADLINE):
            await writer.append("a/1", some(3))
        assert positions(await take(subscription, 3)) == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.promise("redis")
async def test_nothing_that_a_forger_sends_is_delivered(url: str) -> None:
    redis = shared_redis()
    chance = random.Random(5)
    async with pair(url, redis.url, [KEY]) as (writer, reader, subscription):
        log_id = (await reader.head()).log_id
        stranger = Signer([b"another key of somebody"])
        with redis.client() as client, client.pubsub() as spy:
            spy.subscribe(channel(log_id))
            await writer.append("a/1", some(1))
            await take(subscription, 1)

            def overheard() -> bytes:
                while True:
                    message = spy.get_message(timeout=DEADLINE)
                    if message["type"] == "message":
                        return bytes(message["data"])

            real = await anyio.to_thread.run_sync(overheard)
            for number in range(2_000):
                altered = bytearray(real)
                altered[chance.randrange(len(altered))] ^= 1 + chance.randrange(255)
                for forged in (
                    real, bytes(altered), chance.randbytes(200), b"999999", b"",
                    stranger.encode(log_id, 3 + number, None),
                ):  # fmt: skip
                    client.publish(channel(log_id), forged)

            async def all_refused() -> bool:
                refused = ("forged", "unsigned", "replayed", "stale", "malformed")
                return sum(count(reader, name) for name in refused) >= 12_000

            await eventually(all_refused)
        await writer.append("a/1", some(1))
        assert positions(await take(subscription, 1)) == [3]


@pytest.mark.parametrize("bad", ["redis://h:notaport/0", "redis://h/0?socket_timeout=x"])
async def test_a_url_that_names_no_server_is_refused(bad: str) -> None:
    with pytest.raises(ConfigError):
        EventStore.open("memory://", notify=bad)


async def test_a_key_that_could_be_guessed_is_refused() -> None:
    with pytest.raises(ConfigError, match="short"):
        EventStore.open("memory://", notify="redis://h", notify_keys=["secret"])
