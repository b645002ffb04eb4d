"""Faults of server, network, proxy and log beneath 20 followers: all events once, and in order.

Followers ask by requests that wait, by live streams and by stores by URL, all through one proxy;
between the proxy and the server is a network that can be cut.
"""

from __future__ import annotations

import json
import signal
import subprocess
from contextlib import AsyncExitStack, ExitStack, suppress
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import anyio
import httpx
import pytest
from support.commands import command, environment, runner
from support.edge import EDGES, at_edge, find_program
from support.network import HOST, free_port
from support.proxy import proxied

from eventstore import AccessDeniedError, Cursor, EventStore, NewEvent, StorageError
from eventstore.log.events import OLDEST
from eventstore.server.tokens import create_token, revoke_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from eventstore.log.events import Special

pytestmark = pytest.mark.anyio

FOLLOWERS: Final = 20
ROUNDS: Final = 20
"""Rounds of all faults in the long run."""
PATIENCE: Final = 200
"""Seconds without progress of any follower: more than a request waits at a proxy."""


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Fleet:
    """A served log, a proxy in front of it, and followers through that."""

    def __init__(self, directory: Path, proxy: str, stack: ExitStack) -> None:
        self.directory = directory
        self.log = f"sqlite:///{directory}/eventstore.db"
        self.port = free_port()
        self.network = stack.enter_context(proxied(HOST, self.port))
        self.edge = stack.enter_context(at_edge(proxy, self.network.port, directory))
        self.seen: list[list[int]] = [[] for _ in range(FOLLOWERS)]
        self.secret, self.tokens, self.appended = "", 0, 0
        self.store: EventStore = EventStore.open(self.log)

    def serve(self) -> None:
        words = ("serve", "--listen", f"{HOST}:{self.port}", "--behind-proxy", "--shared-pages")
        self.process = subprocess.Popen(
            command(*words), cwd=self.directory, env=environment(), stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert b"is served at" in self.process.stdout.readline()

    def kill(self) -> None:
        with self.process:
            self.process.kill()

    async def new_token(self) -> None:
        """Give the followers another token; the one before is revoked."""
        self.tokens += 1
        self.secret = await create_token(self.store, f"t{self.tokens}", ["read"])
        if self.tokens > 1:
            await revoke_token(self.store, f"t{self.tokens - 1}")

    async def append(self, count: int = 5) -> None:
        for _ in range(count):
            await self.store.append(f"a/{self.appended % 3}", [NewEvent("T", self.appended)])
            self.appended += 1

    async def caught_up(self) -> None:
        """Return once all followers have seen all; fail where none gets on."""
        total = -1
        while total < FOLLOWERS * self.appended:
            with anyio.fail_after(PATIENCE):
                while sum(map(len, self.seen)) == total:  # noqa: ASYNC110
                    await anyio.sleep(0.02)
            total = sum(map(len, self.seen))
        assert self.counts() == {"missed": 0, "repeated": 0, "disordered": 0}
        assert self.seen == [list(range(self.appended))] * FOLLOWERS

    def counts(self) -> dict[str, int]:
        """Return what followers have not seen, seen again, and seen before an older event."""
        seen = self.seen
        return {
            "missed": sum(self.appended - len(set(one)) for one in seen),
            "repeated": sum(len(one) - len(set(one)) for one in seen),
            "disordered": sum(a > b for one in seen for a, b in pairwise(one)),
        }

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.secret}"}

    async def follow_waiting(self, me: int) -> None:
        cursor = "start"
        async with self._client() as client:
            while True:
                given = {"after": cursor, "streams": "a/", "wait": "20"}
                with suppress(httpx.HTTPError):
                    answer = await client.get("/v1/events", params=given, headers=self.bearer)
                    if answer.status_code == 200:
                        page = answer.json()
                        self.seen[me] += [event["data"] for event in page["events"]]
                        cursor = page["cursor"]
                        continue
                await anyio.sleep(0.05)

    async def follow_live(self, me: int) -> None:
        last: dict[str, str] = {}
        async with self._client() as client:
            while True:
                headers = {**self.bearer, **last}
                path = "/v1/events/live?streams=a/"
                with suppress(httpx.HTTPError):
                    async with client.stream("GET", path, headers=headers) as live:
                        async for message in messages(live):
                            self.seen[me].append(json.loads(message["data"])["data"])
                            last = {"last-event-id": message["id"]}
                await anyio.sleep(0.05)

    async def follow_store(self, me: int) -> None:
        after: Cursor | Special = OLDEST
        while True:
            url = f"http://{self.secret}@{HOST}:{self.edge.port}"
            with suppress(AccessDeniedError, StorageError):
                async with EventStore.open(url, poll=0.5) as store:
                    changes = store.subscribe_changes(streams="a/", after=after)
                    async for event in changes:
                        self.seen[me].append(event.data)
                        assert changes.cursor is not None
                        after = changes.cursor
            await anyio.sleep(0.05)

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(base_url=self.edge.url, timeout=120.0, trust_env=False)

    # What goes wrong. Appends go on beside it.

    async def server_killed(self) -> None:
        await anyio.to_thread.run_sync(self.kill)
        await self.append()
        await anyio.to_thread.run_sync(self.serve)

    async def server_frozen(self) -> None:
        self.process.send_signal(signal.SIGSTOP)
        await self.append()
        self.process.send_signal(signal.SIGCONT)

    async def proxy_restarted(self) -> None:
        await anyio.to_thread.run_sync(self.edge.restart)

    async def connections_cut_in_a_page(self) -> None:
        cut = self.network.when(b'"position"', self.network.cut, sender="server", after=True)
        await self.append()
        await anyio.to_thread.run_sync(cut.wait, PATIENCE)

    async def token_revoked(self) -> None:
        await self.append(1)
        await self.new_token()

    async def log_trimmed(self) -> None:
        await self.caught_up()
        position = (await self.store.head()).position
        await self.store.trim(position, archive=self.directory / f"archive-{position}.export")

    async def log_restored(self) -> None:
        """Put a copy in the log's place, which has other tokens and the same history."""
        await self.caught_up()
        run, copy = runner(self.directory), f"copy-{self.appended}.db"
        assert run("backup", copy).returncode == 0
        await anyio.to_thread.run_sync(self.kill)
        await self.store.aclose()
        for file in self.directory.glob("eventstore.db*"):
            if file.is_file():
                file.unlink()
        done = run("restore", copy)
        assert done.returncode == 0, done.stderr
        self.store = EventStore.open(self.log)
        await self.store.__aenter__()
        self.tokens += 1
        self.secret = await create_token(self.store, f"t{self.tokens}", ["read"])
        await anyio.to_thread.run_sync(self.serve)

    QUICK = (
        connections_cut_in_a_page,
        server_killed,
        token_revoked,
        server_frozen,
        proxy_restarted,
        log_trimmed,
    )


async def messages(live: httpx.Response) -> AsyncIterator[dict[str, str]]:
    """Yield the whole messages of a live stream."""
    found: dict[str, str] = {}
    async for line in live.aiter_lines():
        name, _, value = line.partition(": ")
        if not line and "data" in found:
            yield found
        found = {**found, name: value} if line else {}


async def follow_through(fleet: Fleet, faults: tuple[Any, ...]) -> None:
    async with AsyncExitStack() as stack:
        await fleet.store.__aenter__()
        stack.push_async_callback(lambda: fleet.store.aclose())  # noqa: PLW0108 - it is replaced
        await fleet.new_token()
        await anyio.to_thread.run_sync(fleet.serve)
        stack.callback(fleet.kill)
        followers = (fleet.follow_waiting, fleet.follow_live, fleet.follow_store)
        async with anyio.create_task_group() as tasks:
            for me in range(FOLLOWERS):
                tasks.start_soon(followers[me % 3], me)
            await fleet.append()
            await fleet.caught_up()
            for fault in faults:
                await fleet.append(1)
                await fault(fleet)
                await fleet.append()
                await fleet.caught_up()
            tasks.cancel_scope.cancel()


@pytest.mark.slow
async def test_faults_beneath_nginx_lose_and_repeat_nothing(tmp_path: Path) -> None:
    find_program("nginx")
    with ExitStack() as stack:
        await follow_through(Fleet(tmp_path, "nginx", stack), Fleet.QUICK)


@pytest.mark.soak
@pytest.mark.timeout(3_600)
@pytest.mark.parametrize("proxy", EDGES)
async def test_many_faults_beneath_a_proxy_lose_and_repeat_nothing(
    proxy: str, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        fleet, faults = Fleet(tmp_path, proxy, stack), (*Fleet.QUICK, Fleet.log_restored)
        await follow_through(fleet, faults * ROUNDS)
        print(
            f"\n{proxy}: {ROUNDS} rounds of {len(faults)} faults, {FOLLOWERS} followers of "
            f"{fleet.appended} events each: {fleet.counts()}"
        )
