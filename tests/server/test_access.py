"""Tokens: without one nothing, with one no more than its scopes and streams allow."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from support.logs import some
from support.waiting import until

from eventstore import ConfigError, EventStore, InvalidInputError, NewEvent, StorageError
from eventstore.server import _broadcasts, serving
from eventstore.server.tokens import (
    UnknownTokenError,
    create_token,
    read_tokens,
    revoke_token,
)
from eventstore.testing import FakeClock
from server.conftest import Server, served

pytestmark = pytest.mark.anyio

EVENT = {"events": [{"type": "Happened", "data": 1}]}

REQUESTS = [
    ("GET", "/v1/log", "read"),
    ("GET", "/v1/events", "read"),
    ("GET", "/v1/events/live", "read"),
    ("POST", "/v1/streams/a%2F1", "append"),
    ("GET", "/v1/consumers/w", "read"),
    ("PUT", "/v1/consumers/w", "ack"),
    ("DELETE", "/v1/consumers/w", "ack"),
    ("POST", "/v1/consumers/w/ack", "ack"),
    ("GET", "/v1/consumers/w/wait", "read"),
]


@pytest.mark.parametrize(("method", "path", "scope"), REQUESTS)
async def test_nothing_is_done_without_a_token_of_the_scope(
    server: Server, method: str, path: str, scope: str
) -> None:
    others = [one for one in ("read", "append", "ack", "state") if one != scope]
    for client, status in (
        (server.stranger(), 401),
        (server.stranger(authorization="Bearer wrong"), 401),
        (server.stranger(authorization="Basic YTpi"), 401),
        (await server.client(*others), 403),
    ):
        async with client:
            answer = await client.request(method, path, json=EVENT)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("www-authenticate" in answer.headers) == (status == 401)
    types = {event.type async for event in server.store.read()}
    assert types == {"TokenCreated"}
    assert await server.store.consumers() == []


async def test_a_token_for_some_streams_sees_and_writes_these_alone(server: Server) -> None:
    await server.store.append("a/1", some(1))
    await server.store.append("b/1", some(1))
    async with await server.client("read", "append", streams=["a/", "c/1"]) as client:
        for streams, status in (("a/", 200), ("a/1", 200), ("c/1", 200), ("b/", 403), ("c/", 403)):
            answer = await client.get("/v1/events", params={"streams": streams})
            assert answer.status_code == status, streams
        assert (await client.get("/v1/events")).status_code == 403
        assert (await client.get("/v1/events/live")).status_code == 403
        assert (await client.post("/v1/streams/c%2F12", json=EVENT)).status_code == 403
        assert (await client.post("/v1/streams/a%2F9", json=EVENT)).status_code == 201


async def test_a_revoked_token_ends_what_it_has_open(server: Server) -> None:
    async with (
        await server.client("read", name="gone") as client,
        client.stream("GET", "/v1/events/live") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == ": connected"
        await revoke_token(server.store, "gone")
        with anyio.fail_after(60):
            assert not [line async for line in lines if "nothing" in line]
        assert (await client.get("/v1/log")).status_code == 401


async def test_a_token_expires() -> None:
    clock = FakeClock()
    end = datetime.fromtimestamp(clock.now_us / 1e6, UTC) + timedelta(hours=1)
    async with EventStore.open("memory://", clock=clock) as store:
        secret = await create_token(store, "short", ["read"], expires_at=end)
        async with (
            served(store) as server,
            server.stranger(authorization=f"Bearer {secret}") as client,
        ):
            assert (await client.get("/v1/log")).status_code == 200
            clock.now_us += 3_600_000_000
            assert (await client.get("/v1/log")).status_code == 401


async def test_reading_can_be_open_to_all_and_writing_never() -> None:
    async with (
        EventStore.open("memory://") as store,
        served(store, anonymous_read=True) as server,
        server.stranger() as client,
    ):
        assert (await client.get("/v1/log")).status_code == 200
        assert (await client.post("/v1/streams/a%2F1", json=EVENT)).status_code == 403
        wrong = await client.get("/v1/log", headers={"authorization": "Bearer wrong"})
        assert wrong.status_code == 401


async def test_tokens_are_stored_hashed_and_written_by_their_own_code_alone() -> None:
    async with EventStore.open("memory://") as store:
        secret = await create_token(store, "one", ["read", "admin"], streams=["a/"], by="me")
        assert secret.replace("-", "").replace("_", "").isalnum()
        raw = b"".join([event.raw_data or b"" async for event in store.read()])
        assert secret.encode() not in raw
        with pytest.raises(InvalidInputError, match="written by 'eventstore tokens'"):
            await store.append("audit/tokens", [NewEvent("TokenCreated", {})])
        await store.append("audit/others", [NewEvent("Looked", {})])
        with pytest.raises(InvalidInputError, match="the name is taken"):
            await create_token(store, "one", ["read"])
        with pytest.raises(UnknownTokenError):
            await revoke_token(store, "another")


@pytest.mark.parametrize(
    "wrong",
    [
        {"scopes": []},
        {"scopes": ["root"]},
        {"streams": ["no category"]},
        {"expires_at": datetime(2100, 1, 1)},  # noqa: DTZ001 - that is what is wrong
        {"name": ""},
    ],
)
async def test_a_token_that_makes_no_sense_is_refused(wrong: dict[str, Any]) -> None:
    options: dict[str, Any] = {"name": "x", "scopes": ["read"], **wrong}
    async with EventStore.open("memory://") as store:
        with pytest.raises(InvalidInputError):
            await create_token(store, **options)
        assert (await store.head()).position == 0


async def test_tokens_outlive_a_trim_and_do_not_come_with_an_import(tmp_path: Any) -> None:
    async with EventStore.open("memory://") as store:
        secret = await create_token(store, "kept", ["read"])
        await store.append("a/1", some(2))
        await store.trim((await store.head()).position, archive=tmp_path / "archive")
        book, _ = await read_tokens(store)
        assert book.find(secret, store.clock()) is not None
        await store.export(tmp_path / "log.export")
    async with EventStore.open("memory://") as copy:
        await copy.import_from(tmp_path / "log.export")
        book, _ = await read_tokens(copy)
        assert book.find(secret, copy.clock()) is None


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0"])
def test_other_hosts_are_served_only_over_an_encrypted_way(address: str) -> None:
    with pytest.raises(ConfigError, match="travel in clear"):
        serving.listen(address, encrypted=False, behind_proxy=False)
    serving.listen("0.0.0.0:0", encrypted=False, behind_proxy=True).close()


@pytest.mark.parametrize(
    "address", ["", "8080", "localhost", "localhost:x", "localhost:70000", ":1"]
)
def test_an_address_that_cannot_be_used_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match="--listen"):
        serving.listen(address, encrypted=False, behind_proxy=False)


async def test_a_port_that_is_taken_is_refused(server: Server) -> None:
    with pytest.raises(ConfigError, match="in use"):
        serving.listen(server.url.removeprefix("http://"), encrypted=False, behind_proxy=False)


async def test_a_server_that_stops_ends_those_that_follow(server: Server) -> None:
    async with await server.client("read") as client:
        ended: list[str] = []
        started = anyio.Event()

        async def follow() -> None:
            async with client.stream("GET", "/v1/events/live") as stream:
                async for line in stream.aiter_lines():
                    ended.append(line)
                    started.set()
            ended.append("end")

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(follow)
            await started.wait()
            server.stop()
            with anyio.CancelScope(shield=True):
                await until(lambda: ended[-1] == "end")


async def test_a_live_stream_ends_with_its_token_s_time(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_broadcasts, "HEARTBEAT", 0.01)
    async with (
        await server.client("read", name="short") as client,
        client.stream("GET", "/v1/events/live?after=end") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == ": connected"
        monkeypatch.setattr(server.gateway.access, "holds", lambda _: False)
        with anyio.fail_after(60):
            assert not [line async for line in lines if line.startswith("data")]


async def test_tokens_that_cannot_be_followed_open_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As where the log is restored from another copy beneath the server."""
    async with (
        await server.client("read") as client,
        client.stream("GET", "/v1/events/live?streams=a/") as stream,
    ):
        lines = stream.aiter_lines()
        assert await anext(lines) == ": connected"

        async def broken(_: object) -> None:
            raise StorageError("memory://", "another history")

        monkeypatch.setattr("eventstore.server._access.read_tokens", broken)
        await create_token(server.store, "next", ["read"])
        with anyio.fail_after(60):
            assert not [line async for line in lines if line.startswith("data")]
        for path in ("/v1/log", "/readyz"):
            assert (await client.get(path)).status_code == 503
        assert (await client.get("/healthz")).status_code == 200
    assert "every request is refused" in caplog.text
