"""Networks, proxies and servers that fail beneath a store by URL: nothing is lost or doubled."""

from __future__ import annotations

import subprocess
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.commands import command, environment, runner
from support.logs import data, some
from support.network import HOST, free_port
from support.proxy import proxied
from support.served import serving_log
from support.waiting import eventually, take

from eventstore import (
    AccessDeniedError,
    EventStore,
    HistoryDivergedError,
    LogReplacedError,
    NewEvent,
    StorageError,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.served import Served

    from eventstore import Appended

pytestmark = pytest.mark.anyio


async def settled(append: Callable[[], Awaitable[Appended]]) -> Appended:
    """Append again and again until the outcome is known, as a program has to."""
    done: list[Appended] = []

    async def attempt() -> bool:
        try:
            done.append(await append())
        except StorageError as error:
            if not error.transient:
                raise
            return False
        return True

    await eventually(attempt)
    return done[0]


async def test_a_connection_that_is_cut_in_a_live_stream_loses_no_event(served: Served) -> None:
    poll = 600.0  # Only the server wakes it.
    with proxied(HOST, served.port) as proxy:
        async with (
            EventStore.open(proxy.url(served.url), poll=poll) as store,
            EventStore.open(served.url) as other,
            store.subscribe_changes(streams="a/") as changes,
        ):
            for number in range(6):
                await other.append("a/1", [NewEvent("T", number)])
                assert data(await take(changes, 1)) == [number]
                proxy.cut()


async def test_an_answer_that_is_lost_is_found_by_the_ids(served: Served) -> None:
    with proxied(HOST, served.port) as proxy:
        async with EventStore.open(proxy.url(served.url)) as store:
            for number in range(4):
                proxy.when(b"duplicate", proxy.cut, sender="server")
                event = NewEvent("T", number)
                await settled(partial(store.append, "a/1", [event], expected=number))
            assert data([event async for event in store.read_stream("a/1")]) == [0, 1, 2, 3]


async def test_a_revoked_token_ends_followers_and_appends(served: Served) -> None:
    async with EventStore.open(served.url, poll=0.05) as store:
        async with store.subscribe_changes(streams="a/") as changes:
            await store.append("a/1", some(1))
            await take(changes, 1)
            await anyio.to_thread.run_sync(served.revoke)
            with pytest.raises(AccessDeniedError) as refused:
                await take(changes, 1)
            assert refused.value.status == 401
        with pytest.raises(AccessDeniedError):
            await store.append("a/1", some(1))
        secret = served.url.removeprefix("http://").partition("@")[0]
        assert secret not in f"{store.feed.notifier_facts()} {refused.value} {store.url}"


async def test_another_log_beneath_is_told_and_never_skipped() -> None:
    with ExitStack() as first, ExitStack() as second:
        served = first.enter_context(serving_log("memory://", with_token=False))
        async with EventStore.open(served.url, poll=0.05) as store:
            await store.append("a/1", some(5))
            changes = store.subscribe_changes()
            await take(changes, 5)
            await anyio.to_thread.run_sync(first.close)
            second.enter_context(serving_log("memory://", with_token=False, port=served.port))
            with pytest.raises(HistoryDivergedError):
                await take(changes, 1)
            with pytest.raises(LogReplacedError):
                await store.append("a/1", some(1))


async def test_a_frozen_network_delays_and_loses_nothing(served: Served) -> None:
    with proxied(HOST, served.port) as proxy:
        async with (
            EventStore.open(proxy.url(served.url)) as store,
            EventStore.open(served.url) as other,
        ):
            changes = store.subscribe_changes(streams="a/")
            await other.append("a/1", some(2))
            await take(changes, 2)
            proxy.freeze()
            await other.append("a/1", some(300))
            proxy.thaw()
            assert data(await take(changes, 300)) == list(range(300))


class Serving:
    """`eventstore serve` on one port, killed and started again."""

    def __init__(self, directory: Path, port: int) -> None:
        self._directory = directory
        self._port = port
        self.start()

    def start(self) -> None:
        """Start it; return once it answers."""
        self._process = subprocess.Popen(
            command("serve", "--listen", f"{HOST}:{self._port}"),
            cwd=self._directory,
            env=environment(),
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert "is served at" in self._process.stdout.readline()

    def kill(self) -> None:
        """Kill it by SIGKILL."""
        with self._process:
            self._process.kill()

    def restart(self) -> None:
        """Kill it, and start another one."""
        self.kill()
        self.start()


@pytest.mark.slow
async def test_a_killed_server_loses_and_doubles_nothing(tmp_path: Path) -> None:
    run = runner(tmp_path)
    assert run("init").returncode == 0
    scopes = [word for scope in ("read", "append") for word in ("--scope", scope)]
    token = run("tokens", "create", "worker", *scopes).stdout.strip()
    port = free_port()
    server, numbers, seen = Serving(tmp_path, port), 90, list[Any]()

    async def follow(store: EventStore) -> None:
        seen.extend(data(await take(store.subscribe_changes(streams="a/"), numbers)))

    try:
        async with EventStore.open(f"http://{token}@{HOST}:{port}", poll=0.1) as store:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(follow, store)
                for number in range(numbers):
                    if number in {30, 60}:
                        # Beside the appends, of which one is under way.
                        tasks.start_soon(anyio.to_thread.run_sync, server.restart)
                    event = NewEvent("T", number)
                    await settled(partial(store.append, "a/1", [event], expected=number))
            assert seen == list(range(numbers))
            assert data([one async for one in store.read_stream("a/1")]) == seen
    finally:
        server.kill()


@pytest.mark.slow
async def test_commands_take_a_url_of_a_server(served: Served, tmp_path: Path) -> None:
    async with EventStore.open(served.url) as store:
        await store.append("a/1", [NewEvent("Placed", {"total": 12})])
    run = runner(tmp_path, EVENTSTORE_URL=served.url)
    secret = served.url.removeprefix("http://").partition("@")[0]
    for words, said in {
        ("tail", "--no-follow", "--streams", "a/"): "Placed",
        ("status",): f"http://{HOST}:{served.port}",
        ("append", "a/1", "Paid", "{}"): "version 2",
    }.items():
        done = await anyio.to_thread.run_sync(partial(run, *words))
        assert (done.returncode, said in done.stdout) == (0, True), done
        assert secret not in done.stdout + done.stderr
    for words in (("verify",), ("export", "log.export"), ("serve",), ("trim", "--before", "2")):
        done = await anyio.to_thread.run_sync(partial(run, *words))
        assert done.returncode == 1, done
        assert "the URL of its database" in done.stderr
        assert secret not in done.stdout + done.stderr
