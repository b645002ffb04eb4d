"""Numbers for Prometheus, and one line in the log for each request."""

from __future__ import annotations

import logging
import re
import sys
from typing import TYPE_CHECKING

import pytest
from support.logs import some

from eventstore import EventStore
from eventstore.server.settings import ServerSettings
from server.conftest import Server, served

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.anyio

NUMBER = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)


async def numbers(client: httpx.AsyncClient) -> dict[tuple[str, str], float]:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    return {(name, labels): float(value) for name, labels, value in NUMBER.findall(answer.text)}


async def test_metrics_count_requests_and_tell_of_lag(server: Server) -> None:
    pytest.importorskip("prometheus_client")
    async with await server.client("read", "ack") as client:
        await client.put("/v1/consumers/slow", json={})
        await server.store.append("a/1", some(2))
        before = await numbers(client)
        assert (await client.get("/v1/events", params={"after": "x"})).status_code == 400
        for path in ("/v1/none", "/v1/streams/secret-name"):
            await client.get(path)
        after = await numbers(client)
    assert before["eventstore_log_position", ""] == 3
    assert before["eventstore_consumer_lag_events", 'consumer="slow"'] == 3
    wrong = 'method="GET",route="/v1/events",status="400"'
    counted = ("eventstore_requests_total", wrong)
    assert (before.get(counted), after[counted]) == (None, 1)
    assert not any("secret-name" in labels or "/v1/none" in labels for _, labels in after)


async def test_metrics_behind_a_proxy_need_a_token() -> None:
    pytest.importorskip("prometheus_client")
    settings = ServerSettings(behind_proxy=True)
    async with (
        EventStore.open("memory://") as store,
        served(store, settings=settings) as server,
        server.stranger() as stranger,
        await server.client("read") as client,
    ):
        assert (await stranger.get("/metrics")).status_code == 401
        assert (await client.get("/metrics")).status_code == 200


async def test_without_the_library_metrics_say_which_extra_has_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    async with (
        EventStore.open("memory://") as store,
        served(store) as server,
        server.stranger() as client,
    ):
        answer = await client.get("/metrics")
    assert (answer.status_code, "ruletide[metrics]" in answer.text) == (501, True)


async def test_each_request_is_one_line_without_what_it_says(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "eventstore.server")
    async with server.stranger(authorization="Bearer SECRET") as client:
        await client.get("/v1/consumers/hidden", params={"x": "hidden"})
    (line,) = [one for one in caplog.messages if one.startswith("GET /v1/consumers/")]
    assert re.fullmatch(r"GET /v1/consumers/\{name\} 401 [0-9.]+ ms", line)
    assert "SECRET" not in caplog.text
