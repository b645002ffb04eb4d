"""`--metrics`: one path over HTTP for Prometheus, beside commands that run on."""

from __future__ import annotations

import os
import ssl
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
import trustme
from support.commands import Run, refused
from support.in_process import in_process
from support.network import HOST

from eventstore import ConfigError, EventStore
from eventstore.config import MetricsSettings
from eventstore.metrics import endpoint
from eventstore.metrics.guard import Guard
from eventstore.metrics.registry import Metrics
from eventstore.system.listening import listen

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


TOKEN = "0123456789abcdef"


@asynccontextmanager
async def served(**settings: str) -> AsyncIterator[int]:
    """Give the port at which the metrics of an empty log are served."""
    guard = Guard.of(MetricsSettings(**settings))
    opened = listen("--metrics", f"{HOST}:0")
    port: int = opened.getsockname()[1]
    async with EventStore.open("memory://") as store, anyio.create_task_group() as tasks:
        tasks.start_soon(endpoint.serve_metrics, opened, Metrics(store), guard)
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


@pytest.mark.anyio
async def test_with_a_token_each_request_has_to_show_it(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")
    async with served(token_file=str(file)) as port:
        for header, status in {
            f"Authorization: Bearer {TOKEN}": b"200",
            f"authorization:  bearer  {TOKEN}": b"200",
            f"Authorization: Bearer {TOKEN}x": b"401",
            f"Authorization: Basic {TOKEN}": b"401",
            f"Authorization: {TOKEN}": b"401",
            f"X-Authorization: Bearer {TOKEN}": b"401",
            "Authorization: Bearer \xff": b"401",
            "Authorization": b"401",
        }.items():
            request = get("/metrics").replace(
                b"\r\n\r\n", f"\r\n{header}\r\n\r\n".encode("latin-1")
            )
            answer = await asked(port, request)
            assert answer[9:12] == status, header
            assert (b"eventstore_log_position" in answer) == (status == b"200")
            assert (b"WWW-Authenticate: Bearer" in answer) == (status == b"401")


@pytest.mark.anyio
async def test_with_a_certificate_they_are_encrypted(tmp_path: Path) -> None:
    authority = trustme.CA()
    own = authority.issue_cert(HOST)
    own.private_key_and_cert_chain_pem.write_to_path(tmp_path / "own.pem")
    clients = ssl.create_default_context()
    authority.configure_trust(clients)
    pem = str(tmp_path / "own.pem")
    async with (
        served(token=TOKEN, tls_cert=pem, tls_key=pem) as port,
        httpx.AsyncClient(verify=clients, trust_env=False) as client,
    ):
        url, bearer = f"https://{HOST}:{port}/metrics", {"authorization": f"Bearer {TOKEN}"}
        assert "eventstore_log_position" in (await client.get(url, headers=bearer)).text
        assert (await client.get(url)).status_code == 401
        assert b"eventstore" not in await asked(port, get("/metrics"))  # Not encrypted.
        assert (await client.get(url, headers=bearer)).status_code == 200


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"token": "short"}, "16 ASCII characters"),
        ({"token": "line\nbreak" * 3}, "16 ASCII characters"),
        ({"token": TOKEN, "token_file": "there"}, "not both"),
        ({"token_file": "/there/is/none"}, "/there/is/none: "),
        ({"token_file": os.devnull}, os.devnull),
        ({"tls_cert": "own.pem"}, "go together"),
        ({"tls_cert": "/none.pem", "tls_key": "/none.pem"}, "/none.pem"),
    ],
)
def test_what_cannot_guard_is_refused(settings: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as refusal:
        Guard.of(MetricsSettings(**settings))
    assert TOKEN not in str(refusal.value)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    (tmp_path / "rules").mkdir()
    return in_process(tmp_path)


@pytest.mark.parametrize("words", [("up", "--rules", "rules"), ("sync", "rules")])
def test_other_hosts_read_metrics_only_by_a_token(
    run: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    said = refused(run, *words, "--metrics", "0.0.0.0:0")
    assert said.startswith("error: --metrics 0.0.0.0:0: other hosts reach it, and everyone there")
    assert "EVENTSTORE_METRICS_TOKEN" in said
    assert not (tmp_path / "eventstore.db").exists()


def test_a_port_that_is_taken_is_refused_before_a_log_is_made(run: Run, tmp_path: Path) -> None:
    with listen("--metrics", f"{HOST}:0") as taken:
        address = f"{HOST}:{taken.getsockname()[1]}"
        said = refused(run, "sync", "rules", "--metrics", address)
    assert said == f"error: --metrics {address}: Address already in use\n"
    assert not (tmp_path / "eventstore.db").exists()


def test_a_token_opens_the_port_to_other_hosts(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    run = in_process(tmp_path, EVENTSTORE_METRICS_TOKEN=TOKEN)
    words = ("sync", "rules", "--once", "--allow-empty", "--metrics", "0.0.0.0:0")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert "metrics are at http://0.0.0.0:" in done.stderr
    assert TOKEN not in done.stdout + done.stderr
