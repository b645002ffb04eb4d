"""Live streams that are written to together: each gets every event once, in its own time."""

from __future__ import annotations

import sqlite3
from contextlib import AsyncExitStack, asynccontextmanager, closing
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from support.network import HOST
from support.waiting import until

from eventstore import EventStore, NewEvent
from eventstore.errors import EventStoreError
from eventstore.server import _broadcasts, _live
from eventstore.server.settings import ServerSettings
from eventstore.server.tokens import create_token
from server.conftest import Server, served

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from anyio.abc import SocketStream

pytestmark = pytest.mark.anyio

LARGE = "x" * 100_000


class Watched:
    """A server of a log in memory; how often each event was written as text."""

    def __init__(self, server: Server, secret: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.store, self.secret = server, server.store, secret
        self.encoded: list[int] = []
        event = _live._FORM.event

        def counted(cursor: Any, one: Any) -> bytes:
            self.encoded.append(one.position)
            return event(cursor, one)

        form = _broadcasts.Form(counted, _live._FORM.alive)
        monkeypatch.setattr(_live, "_FORM", form)

    @asynccontextmanager
    async def client(self, query: str = "", version: str = "1.1") -> AsyncIterator[Client]:
        async with await anyio.connect_tcp(HOST, int(self.server.url.rpartition(":")[2])) as stream:
            head = f"GET /v1/events/live?streams=a/{query} HTTP/{version}\r\nhost: x\r\n"
            await stream.send(f"{head}authorization: Bearer {self.secret}\r\n\r\n".encode())
            yield Client(stream)

    @property
    def joined(self) -> int:
        """How many streams are written to together."""
        running = self.server.gateway.broadcasts._running.values()
        return sum(len(one._listeners) for one in running)

    async def append(self, *numbers: Any) -> None:
        await self.store.append("a/1", [NewEvent("Happened", number) for number in numbers])


class Client:
    """One connection, what it has read, and the data of the events in that."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream
        self.lines: list[bytes] = []
        self.found: list[Any] = []
        self._part = b""

    async def receive(self) -> None:
        """Read on; raise EndOfStream."""
        with anyio.fail_after(60):
            *lines, self._part = (self._part + await self.stream.receive()).split(b"\n")
        self.lines += lines
        for line in lines:
            if line.startswith(b"data: "):
                self.found.append(msgspec.json.decode(line[6:]).get("data"))

    async def read(self, count: int) -> list[Any]:
        """Return the data once there are so many."""
        while len(self.found) < count:
            await self.receive()
        return self.found

    async def end(self) -> None:
        """Return once the answer has ended as it should."""
        while self.lines[-2:] != [b"0\r", b"\r"]:
            await self.receive()


@pytest.fixture
async def watched(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Watched]:
    async with EventStore.open("memory://") as store:
        secret = await create_token(store, "all", ["read"])
        async with served(store, settings=ServerSettings(write_seconds=3_600.0)) as server:
            yield Watched(server, secret, monkeypatch)


async def test_an_event_is_written_as_text_once_for_all_streams_of_a_filter(
    watched: Watched,
) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(watched.client("&after=end")) for _ in range(30)]
        await until(lambda: watched.joined == 30)
        await watched.append(1, 2)
        await watched.append(3)
        for client in clients:
            assert await client.read(3) == [1, 2, 3]
    assert len(watched.encoded) == 3
    await until(lambda: not watched.server.gateway.broadcasts._running)


async def test_streams_that_begin_while_events_come_miss_and_repeat_none(watched: Watched) -> None:
    """Some begin at the oldest event, some at the head: they join at different places."""
    found: list[list[Any]] = []

    async def follow(query: str) -> None:
        async with watched.client(query) as client:
            while not client.found or client.found[-1] != "last":
                await client.receive()
            found.append(client.found)

    async with anyio.create_task_group() as tasks:
        for number in range(0, 120, 3):
            tasks.start_soon(follow, "" if number % 2 else "&after=end")
            await watched.append(number, number + 1, number + 2)
        await until(lambda: watched.joined == 40)
        await watched.append("last")
    every = [*range(120), "last"]
    assert len(found) == 40
    for one in found:
        assert one == every[-len(one) :]
    assert found.count(every) >= 20


async def test_a_stream_that_is_not_read_is_bounded_and_goes_on_where_it_stopped(
    watched: Watched,
) -> None:
    async with watched.client("&after=end") as quick, watched.client("&after=end") as slow:
        await until(lambda: watched.joined == 2)
        count = 0
        while watched.joined == 2:
            await watched.append([count, LARGE])
            count += 1
            await quick.read(count)
        for _ in range(20):
            await watched.append([count, LARGE])
            count += 1
        assert [number for number, _ in await quick.read(count)] == list(range(count))
        assert [number for number, _ in await slow.read(count)] == list(range(count))
        await until(lambda: watched.joined == 2)
        await watched.append("last")
        assert (await slow.read(count + 1))[-1] == (await quick.read(count + 1))[-1] == "last"


async def test_a_client_of_http_1_0_gets_no_chunks(watched: Watched) -> None:
    async with watched.client("&after=end", version="1.0") as client:
        await until(lambda: watched.joined == 1)
        await watched.append(1)
        await client.read(1)
        begun = client.lines.index(b": connected")
        assert client.lines[begun - 1] == b"\r"
        assert [line[:4] for line in client.lines[begun + 1 :]] == [b"", b"id: ", b"data", b""]


async def test_all_are_told_why_a_broadcast_has_failed(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Any) -> Any:
        raise EventStoreError("it is broken")

    async with watched.client("&after=end") as one, watched.client("&after=end") as other:
        await until(lambda: watched.joined == 2)
        monkeypatch.setattr("eventstore.changes.commits.Commits.__anext__", broken)
        await watched.append(1)
        for client in (one, other):
            await client.end()
            assert b"event: problem" in client.lines


async def test_a_log_restored_to_an_earlier_state_ends_old_streams_and_not_new_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a file system's snapshot; the server itself does not look again meanwhile."""
    url = f"sqlite:///{tmp_path}/log.db"
    async with EventStore.open(url, poll=3_600.0, notify="none") as store:
        secret = await create_token(store, "all", ["read"])
        await store.append("a/1", [NewEvent("Happened", 0)])
        with (
            closing(sqlite3.connect(tmp_path / "log.db")) as file,
            closing(sqlite3.connect(tmp_path / "snapshot.db")) as snapshot,
        ):
            file.backup(snapshot)
            async with served(store) as server:
                watched = Watched(server, secret, monkeypatch)
                async with watched.client("&after=end") as old:
                    await until(lambda: watched.joined == 1)
                    await watched.append(1)
                    await old.read(1)
                    snapshot.backup(file)
                    async with watched.client("&after=end") as new:
                        await old.end()
                        assert b"HistoryDivergedError" in b"".join(old.lines)
                        assert await new.read(0) == []
                        await until(lambda: watched.joined == 1)


async def test_a_question_for_the_head_alone_has_no_body(server: Server) -> None:
    async with await server.client("read") as client:
        answer = await client.head("/v1/events/live?after=end")
    assert (answer.status_code, answer.content) == (200, b"")
    assert not server.gateway.followers
