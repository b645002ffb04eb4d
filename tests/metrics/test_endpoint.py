"""`--metrics`: one path over HTTP for Prometheus, beside commands that run on."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import pytest
from support.commands import Run, refused
from support.in_process import in_process
from support.network import HOST

from eventstore import EventStore
from eventstore.metrics import endpoint
from eventstore.metrics.registry import Metrics
from eventstore.system.listening import listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@asynccontextmanager
async def served() -> AsyncIterator[int]:
    """Give the port at which the metrics of an empty log are served."""
    opened = listen("--metrics", f"{HOST}:0")
    port: int = opened.getsockname()[1]
    async with EventStore.open("memory://") as store, anyio.create_task_group() as tasks:
        tasks.start_soon(endpoint.serve_metrics, opened, Metrics(store))
        yield port
        tasks.cancel_scope.cancel()


async def asked(port: int, request: bytes) -> bytes:
    """Send a request; return all that comes until the end of the connection."""
    received = b""
    async with await anyio.connect_tcp(HOST, port) as stream:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError):
            await stream.send(request)
            while True:
                received += await stream.receive()
    return received


def get(path: str, method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode()


@pytest.mark.anyio
async def test_one_path_is_answered_and_all_else_is_refused() -> None:
    async with served() as port:
        head, _, body = (await asked(port, get("/metrics?x=1"))).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=")
        assert f"Content-Length: {len(body)}\r\n".encode() in head
        assert b"eventstore_log_position 0.0\n" in body
        answers = {
            get("/metrics", "HEAD"): b"200",
            get("/metrics", "POST"): b"405",
            get("/"): b"404",
            get("//metrics"): b"404",
            b"\r\n\r\n": b"400",
            b"GET /metrics\r\n\r\n": b"400",
            b"GET /metrics HTTP/1.1\r\n" + b"x" * endpoint.REQUEST_BYTES: b"400",
        }
        for request, status in answers.items():
            answer = await asked(port, request)
            assert answer.startswith(b"HTTP/1.1 " + status), (request[:40], answer[:40])
            assert answer.endswith(b"\r\n\r\n") or status == b"404"


@pytest.mark.anyio
async def test_connections_that_say_nothing_take_places_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(endpoint, "REQUEST_SECONDS", 1_000)
    async with served() as port:
        silent = [await anyio.connect_tcp(HOST, port) for _ in range(endpoint.CONNECTIONS)]
        assert await asked(port, get("/metrics")) == b""
        await silent.pop().aclose()
        while not await asked(port, get("/metrics")):  # Until the server sees its end.
            pass
        for stream in silent:
            await stream.aclose()


@pytest.mark.anyio
async def test_a_client_that_says_nothing_is_let_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "REQUEST_SECONDS", 0.01)
    async with served() as port:
        assert await asked(port, b"GET /metrics HTTP/1.1\r\n") == b""


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "rules").mkdir()
    return in_process(tmp_path)


@pytest.mark.parametrize("words", [("up", "--rules", "rules"), ("sync", "rules")])
def test_other_hosts_read_metrics_only_where_that_is_said(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    said = refused(run, *words, "--metrics", "0.0.0.0:0")
    assert said.startswith("error: --metrics 0.0.0.0:0: other hosts reach it, and everyone there")
    assert "--metrics-open" in said
    assert not (tmp_path / "eventstore.db").exists()


def test_a_port_that_is_taken_is_refused_before_a_log_is_made(run: Run, tmp_path: Path) -> None:
    with listen("--metrics", f"{HOST}:0") as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"
        said = refused(run, "sync", "rules", "--metrics", address)
    assert said == f"error: --metrics {address}: Address already in use\n"
    assert not (tmp_path / "eventstore.db").exists()
    opened = listen("--metrics", "0.0.0.0:0")  # What --metrics-open lets through.
    opened.close()
