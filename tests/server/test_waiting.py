"""Requests that wait at the same end: one read of the log for all of them, each ends for itself."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

import anyio
import msgspec
import pytest
from support.logs import some
from support.waiting import until

from eventstore import EventStore, NewEvent
from eventstore.errors import InvalidInputError
from eventstore.log.operations import Query
from eventstore.server._cursors import decode_cursor, encode_cursor
from eventstore.server._gateway import Gateway
from eventstore.server.settings import DEFAULTS
from eventstore.server.tokens import revoke_token

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    import httpx

    from eventstore.log.events import Cursor
    from eventstore.log.operations import Page
    from server.conftest import Server

pytestmark = pytest.mark.anyio

ORDERS = Query(streams="a/", limit=1024)


class Reads:
    """A gateway of a log in memory, and how often the log was read."""

    def __init__(self, store: EventStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self.store = store
        self.answers: list[list[Any]] = []
        for name in ("page", "page_here"):
            monkeypatch.setattr(store.feed.log, name, self.counted(getattr(store.feed.log, name)))
        self.gateway = Gateway(store, DEFAULTS, anonymous_read=False)

    def counted(self, read: Any) -> Any:
        def reading(query: Query) -> Any:
            self.count += 1
            return read(query)

        return reading

    async def page(self, query: Query, after: Cursor) -> Page:
        return await self.gateway.reads.page(
            msgspec.structs.replace(query, after=after.position, expect=after)
        )

    async def wait(self, query: Query, after: Cursor) -> None:
        """Read, and wait where there is nothing, as the route does."""
        page = await self.page(query, after)
        body = await self.gateway.waits.answer(query, page.through)
        assert body is not None
        self.answers.append([event["data"] for event in msgspec.json.decode(body)["events"]])

    @property
    def waiting(self) -> int:
        return sum(wait.waiting for wait in self.gateway.waits._waits.values())


@pytest.fixture
async def reads(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Reads]:
    async with EventStore.open("memory://", poll=600.0) as store:
        reads = Reads(store, monkeypatch)
        async with anyio.create_task_group() as tasks:
            reads.gateway.waits.start(tasks)
            yield reads
            tasks.cancel_scope.cancel()


async def test_a_commit_is_read_once_for_a_thousand_requests_that_wait(reads: Reads) -> None:
    after = (await reads.store.head()).cursor
    async with anyio.create_task_group() as tasks:
        for _ in range(1_000):
            tasks.start_soon(reads.wait, ORDERS, after)
        await until(lambda: reads.waiting == 1_000)
        assert reads.count <= 4  # The first request's, one for all others, the subscription's.
        reads.count = 0
        await reads.store.append("b/1", some(1))
        await reads.store.append("a/1", [NewEvent("Placed", 1), NewEvent("Placed", 2)])
    assert reads.answers == [[1, 2]] * 1_000
    assert reads.count <= 4


async def test_requests_share_a_wait_wherever_their_cursors_are(reads: Reads) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(10):
            after = (await reads.store.head()).cursor
            tasks.start_soon(reads.wait, ORDERS, after)
            await until(lambda number=number: reads.waiting == number + 1)  # type: ignore[misc]
            await reads.store.append("b/1", some(1))
        assert len(reads.gateway.waits._waits) == 1
        await reads.store.append("a/1", [NewEvent("Placed", 1)])
    assert reads.answers == [[1]] * 10


async def test_a_request_never_gets_what_lies_before_its_cursor(
    reads: Reads, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait of others may end by an event that a request had already when it joined."""
    start = (await reads.store.head()).cursor
    held = anyio.Event()
    subscribe = reads.gateway.subscribe

    def late(query: Query, after: Any) -> Any:
        changes = subscribe(query, after)
        real = changes._enter

        async def enter() -> Any:
            await held.wait()
            return await real()

        monkeypatch.setattr(changes, "_enter", enter)
        return changes

    reads.gateway.waits._subscribe = late
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(reads.wait, ORDERS, start)
        await until(lambda: reads.waiting == 1)
        await reads.store.append("a/1", [NewEvent("Placed", "before")])
        tasks.start_soon(reads.wait, ORDERS, (await reads.store.head()).cursor)
        await until(lambda: reads.waiting == 2)
        held.set()
        await until(lambda: reads.answers)
        await until(lambda: reads.waiting == 1)
        await reads.store.append("a/1", [NewEvent("Placed", "after")])
    assert reads.answers == [["before"], ["after"]]


async def test_a_read_is_never_older_than_the_request(reads: Reads) -> None:
    """A read under way serves no request that comes meanwhile: it may have an event in between."""
    begun, go_on, calls = anyio.Event(), anyio.Event(), 0
    read = reads.store.feed.page

    async def slow(query: Query) -> Page:
        nonlocal calls
        calls += 1
        page = await read(query)
        if calls == 1:
            begun.set()
            await go_on.wait()
        return page

    reads.gateway.reads._read = slow
    after, found = (await reads.store.head()).cursor, list[int]()

    async def ask() -> None:
        found.append(len((await reads.page(ORDERS, after)).events))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ask)
        await begun.wait()
        await reads.store.append("a/1", some(1))
        for _ in range(5):
            tasks.start_soon(ask)
        await until(lambda: reads.gateway.reads._next)
        go_on.set()
    assert (found[0], sorted(found), calls) == (0, [0, 1, 1, 1, 1, 1], 2)
    assert not reads.gateway.reads._turns


async def test_a_log_restored_to_an_earlier_state_is_not_read_again_and_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db", poll=600.0, notify="none") as store:
        reads = Reads(store, monkeypatch)
        early = (await store.head()).cursor
        with (
            closing(sqlite3.connect(tmp_path / "log.db")) as file,
            closing(sqlite3.connect(tmp_path / "snapshot.db")) as snapshot,
        ):
            file.backup(snapshot)
            await store.append("b/1", some(3))
            late = (await store.head()).cursor
            async with anyio.create_task_group() as tasks:
                reads.gateway.waits.start(tasks)
                tasks.start_soon(reads.wait, ORDERS, late)
                await until(lambda: reads.waiting == 1)
                snapshot.backup(file)
                tasks.start_soon(reads.wait, ORDERS, early)
                starts = reads.gateway.waits._waits.values()
                await until(lambda: [wait.start for wait in starts] == [early])
                assert reads.count < 10
                tasks.cancel_scope.cancel()


async def test_an_error_of_a_shared_read_is_each_request_s_own(reads: Reads) -> None:
    other = msgspec.structs.replace((await reads.store.head()).cursor, log_id="another")
    caught: list[Exception] = []

    async def ask() -> None:
        try:
            await reads.page(ORDERS, other)
        except Exception as error:
            caught.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(ask)
    assert [type(error).__name__ for error in caught] == ["HistoryDivergedError"] * 3
    assert len({id(error) for error in caught}) == 3


async def waiting(client: httpx.AsyncClient, answers: list[Any]) -> None:
    parameters: dict[str, Any] = {"after": "end", "wait": 60, "streams": "a/"}
    answers.append(await client.get("/v1/events", params=parameters))


async def test_a_client_that_goes_away_ends_its_own_wait_alone(server: Server) -> None:
    async with await server.client("read") as client:
        gateway, answers = server.gateway, list[Any]()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting, client, answers)
            await until(lambda: gateway.followers == 1)
            async with anyio.create_task_group() as leaving:
                for _ in range(3):
                    leaving.start_soon(waiting, client, answers)
                await until(lambda: gateway.followers == 4)
                leaving.cancel_scope.cancel()
            await until(lambda: gateway.followers == 1)
            await server.store.append("a/1", [NewEvent("Placed", "now")])
        assert [one["data"] for one in answers[0].json()["events"]] == ["now"]
        assert (len(answers), gateway.followers) == (1, 0)
        await until(lambda: not gateway.waits._waits)


async def test_a_revoked_token_is_told_so_while_the_others_wait_on(server: Server) -> None:
    revoked, kept = list[Any](), list[Any]()
    async with await server.client("read", name="old") as old, await server.client("read") as new:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(waiting, old, revoked)
            tasks.start_soon(waiting, new, kept)
            await until(lambda: server.gateway.followers == 2)
            await revoke_token(server.store, "old")
            await until(lambda: revoked)
            assert (revoked[0].status_code, kept) == (401, [])
            await server.store.append("a/1", some(1))
        assert (kept[0].status_code, len(kept[0].json()["events"])) == (200, 1)


async def test_a_marked_cursor_is_the_same_place_by_another_word(reads: Reads) -> None:
    cursor = (await reads.store.head()).cursor
    words = {encode_cursor(cursor), encode_cursor(cursor, 1), encode_cursor(cursor, 2)}
    assert len(words) == 3
    assert {decode_cursor(word) for word in words} == {cursor}
    for wrong in ("", "x", "1.2"):
        with pytest.raises(InvalidInputError):
            decode_cursor(f"{encode_cursor(cursor)}.{wrong}")
