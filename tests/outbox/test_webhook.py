"""Deliveries to a webhook over HTTP, as Standard Webhooks has it."""

from __future__ import annotations

import base64
import hmac
import subprocess
import traceback
from typing import TYPE_CHECKING

import anyio
import httpx
import pytest
from support.logs import some
from support.network import HOST, free_port
from support.processes import start
from support.receivers import Hook, webhook
from support.waiting import until

from eventstore import ConfigError, Event, EventStore, NewEvent
from eventstore.outbox import Outbox, RetryLaterError, UndeliverableError
from eventstore.outbox.webhook import LONGEST_WAIT, Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as hook:
        yield hook


async def appended(store: EventStore, new: NewEvent) -> Event:
    await store.append("order/1", [new])
    (event,) = [one async for one in store.read(backwards=True, limit=1)]
    return event


async def test_an_event_is_posted_and_signed(store: EventStore, hook: Hook) -> None:
    new = NewEvent("Placed", {"total": 12}, id="é b: c", metadata={"by": "me"})
    event = await appended(store, new)
    key = b"0123456789abcdef"
    secret = f"whsec_{base64.b64encode(key).decode()}"
    async with Webhook(hook.url, secret=secret, clock=lambda: 1_700_000_000.9) as deliver:
        await deliver(event)

    (request,) = hook.requests
    assert request.headers["content-type"] == "application/json"
    assert request.headers["webhook-id"] == "%C3%A9%20b%3A%20c"
    assert request.headers["webhook-timestamp"] == "1700000000"
    signed = b"%C3%A9%20b%3A%20c.1700000000." + request.body
    signature = base64.b64encode(hmac.digest(key, signed, "sha256")).decode()
    assert request.headers["webhook-signature"] == f"v1,{signature}"
    assert request.data == {
        "position": event.position,
        "stream": "order/1",
        "version": 1,
        "id": "é b: c",
        "metadata": {"by": "me"},
        "redacted": False,
        "data": {"total": 12},
    }


async def test_bytes_and_redacted_content_are_told_apart(store: EventStore, hook: Hook) -> None:
    event = await appended(store, NewEvent("Placed", b"\x00\xff"))
    async with Webhook(hook.url) as deliver:
        await deliver(event)
        await store.redact(event.position, reason="asked for")
        (redacted,) = [one async for one in store.read(streams="order/")]
        await deliver(redacted)
    first, second = (request.data for request in hook.requests)
    assert base64.b64decode(first["data_base64"]) == b"\x00\xff"
    assert (second["redacted"], "data_base64" in second, second["data"]) == (True, False, None)
    assert "webhook-signature" not in hook.requests[0].headers


@pytest.mark.parametrize(
    ("status", "headers", "seconds"),
    [
        (500, {}, 0.0),
        (503, {"retry-after": "120"}, 120.0),
        (429, {"retry-after": "9999999"}, LONGEST_WAIT),
        (429, {"retry-after": "Wed, 21 Oct 2026 07:28:00 GMT"}, 0.0),
        (302, {"location": "/elsewhere"}, 0.0),
        (400, {}, None),
        (404, {}, None),
        (410, {}, None),
    ],
)
async def test_an_answer_decides_on_a_retry(
    store: EventStore, hook: Hook, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    event = await appended(store, NewEvent("Placed", 1))
    hook.answers.append((status, headers))
    async with Webhook(hook.url) as deliver:
        with pytest.raises((RetryLaterError, UndeliverableError)) as raised:
            await deliver(event)
    if seconds is None:
        assert isinstance(raised.value, UndeliverableError)
    else:
        assert isinstance(raised.value, RetryLaterError)
        assert raised.value.seconds == seconds
    assert f" answered {status} " in str(raised.value)
    assert "SECRET-PATH" not in str(raised.value)
    assert len(hook.requests) == 1


async def test_a_receiver_that_is_not_there_is_tried_again(store: EventStore) -> None:
    event = await appended(store, NewEvent("Placed", 1))
    async with Webhook(f"http://{HOST}:{free_port()}/SECRET-PATH") as deliver:
        with pytest.raises(RetryLaterError, match="ConnectError") as raised:
            await deliver(event)
    assert "SECRET-PATH" not in str(raised.value)


@pytest.mark.parametrize("url", ["ftp://there/SECRET-PATH", "there/SECRET-PATH", "http:///x", ""])
def test_what_is_no_webhook_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="http:// or https://") as raised:
        Webhook(url)
    assert "SECRET-PATH" not in str(raised.value)


@pytest.mark.parametrize("secret", ["whsec_", "whsec_***", "c2VjcmV0", "whsec"])
def test_a_secret_in_another_form_is_refused_and_not_quoted(secret: str) -> None:
    with pytest.raises(ConfigError, match="'whsec_' and base64") as raised:
        Webhook("https://there.example", secret=secret)
    assert "***" not in str(raised.value)
    assert "c2VjcmV0" not in str(raised.value)


async def test_an_outbox_that_is_killed_goes_on_and_nothing_is_lost(
    tmp_path: Path, hook: Hook
) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    async with EventStore.open(url) as store:
        for number in range(60):
            await store.append(f"a/{number % 7}", some(1))
        for kills in range(1, 5):
            process = start("outbox_runner", url, hook.url, stderr=subprocess.DEVNULL)
            try:
                await until(lambda at=12 * kills: len(hook.requests) >= at)  # type: ignore[misc]
            finally:
                process.kill()
                await anyio.to_thread.run_sync(process.wait)
        async with Webhook(hook.url) as deliver:
            await Outbox(store, "o", deliver).run(follow=False)
    arrived = [request.data["position"] for request in hook.requests]
    assert set(arrived) == set(range(1, 61))
    for stream in range(7):
        firsts = [one for one in dict.fromkeys(arrived) if one % 7 == stream]
        assert firsts == sorted(firsts)


@pytest.mark.parametrize(
    "url",
    [
        "https://u:QZXJ",
        "https://u:QZXJ@h:port/",
        "https://[QZXJ/",
        "https://h:QZXJ/a",
        "https://h/QZ\nXJ",
        "https://h:99999/QZXJ",
        "https://u:QZ/XJ@h/a",
        "QZXJ",
        "ftp://u:QZXJ@h/",
    ],
)
def test_a_url_that_is_none_is_refused_at_once_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Webhook(url)
    shown = "".join(traceback.format_exception(caught.value))
    assert "QZ" not in shown.replace(repr(url), "")
    assert "XJ" not in shown.replace(repr(url), "")


@pytest.mark.parametrize("url", ["https://u:QZXJ@h/a", "https://h/a?k=QZXJ"])
async def test_a_delivery_that_fails_names_the_host_alone(store: EventStore, url: str) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    event = await appended(store, some(1)[0])
    client = httpx.AsyncClient(transport=httpx.MockTransport(refuse))
    async with Webhook(url, client=client) as deliver:
        with pytest.raises(RetryLaterError, match=r"https://h: ConnectError: refused") as caught:
            await deliver(event)
    assert "QZ" not in str(caught.value)
