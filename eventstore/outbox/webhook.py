"""Delivery to a webhook, as the Standard Webhooks specification (1.0.0) has it.

The body is ``{"type", "timestamp", "data"}``; ``webhook-id`` is the event's id, and with a secret
``webhook-signature`` is ``v1,`` and the base64 of HMAC-SHA256 over ``id.timestamp.body``.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import time
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import quote

import msgspec

from eventstore.errors import ConfigError
from eventstore.outbox._delivery import RetryLaterError, UndeliverableError
from eventstore.system.extras import needs_extra
from eventstore.system.secret_url import HIDDEN, SecretUrl
from eventstore.system.traces import add_trace_headers

if TYPE_CHECKING:
    from collections.abc import Callable

    import httpx

    from eventstore.log.events import Event

RETRIED: Final = frozenset({408, 409, 421, 423, 425, 429})
"""Answers of the class 4xx after which a further attempt may succeed."""

LONGEST_WAIT: Final = 3_600.0
"""Seconds of a ``Retry-After`` that are waited at the most."""


class Webhook:
    """Posts an event to a URL: ``Outbox(store, "billing", Webhook(url, secret=…))``.

    An answer of the class 2xx is arrival. 4xx gives the event up at once, but for those in
    ``RETRIED``; everything else is tried again, after ``Retry-After`` where the answer has it in
    seconds. Redirects are not followed. ``secret`` signs, as ``whsec_`` and base64, or as bytes.
    ``client`` is an ``httpx.AsyncClient``, for certificates and proxies; by default one is made.

    Raises ConfigError for another scheme than ``http`` and ``https``, for a secret in another
    form, and where the extra ``http`` is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        secret: str | bytes | None = None,
        client: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        with needs_extra("http", "a webhook"):
            import httpx  # noqa: PLC0415 - only deliveries by HTTP need it

            from eventstore.system.http_url import read_http_url  # noqa: PLC0415 - as httpx
        self._url, self._place = str(url), _place(SecretUrl(url))
        try:
            read_http_url(self._url)
        except ValueError as error:
            raise ConfigError(f"webhook {self._place}: {error}") from None
        self._key = _key(secret)
        self._client = client or httpx.AsyncClient(follow_redirects=False, timeout=30.0)
        self._errors = (httpx.TransportError,)
        self._clock = clock

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._client.aclose()

    async def __call__(self, event: Event) -> None:
        """Post one event; return once it has arrived."""
        body = encode_event(event)
        try:
            answer = await self._client.post(
                self._url, content=body, headers=self._headers(quote(event.id), body)
            )
        except self._errors as error:
            reason = f"{self._place}: {type(error).__name__}: {error}"
            raise RetryLaterError(0.0, reason) from error
        if answer.is_success:
            return
        reason = f"{self._place} answered {answer.status_code} {answer.reason_phrase}"
        if answer.is_client_error and answer.status_code not in RETRIED:
            raise UndeliverableError(reason)
        raise RetryLaterError(_retry_after(answer.headers.get("retry-after", "")), reason)

    def _headers(self, event_id: str, body: bytes) -> dict[str, str]:
        at = str(int(self._clock()))
        headers = {
            "content-type": "application/json",
            "webhook-id": event_id,
            "webhook-timestamp": at,
        }
        if self._key is not None:
            signed = f"{event_id}.{at}.".encode() + body
            digest = hmac.digest(self._key, signed, "sha256")
            headers["webhook-signature"] = f"v1,{base64.b64encode(digest).decode()}"
        add_trace_headers(headers)
        return headers


def encode_event(event: Event) -> bytes:
    """Return the JSON body for an event; bytes as data are base64 in ``data_base64``."""
    data: dict[str, Any] = {
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "id": event.id,
        "metadata": event.metadata,
        "redacted": event.redacted,
    }
    content = event.data
    if isinstance(content, bytes):
        data["data_base64"] = base64.b64encode(content).decode()
    else:
        data["data"] = content
    timestamp = event.recorded_at.isoformat()
    return msgspec.json.encode({"type": event.type, "timestamp": timestamp, "data": data})


def _place(url: SecretUrl) -> str:
    """Return scheme and host: the path of a webhook's URL is often its secret."""
    host = SecretUrl(str(url)).authority
    if url.scheme not in {"http", "https"} or not host or HIDDEN in host:
        raise ConfigError(f"webhook {url.scheme}://{HIDDEN}: use a URL of http:// or https://")
    return f"{url.scheme}://{host}"


def _key(secret: str | bytes | None) -> bytes | None:
    if not isinstance(secret, str):
        return secret
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        key = b""
    if not key or not secret.startswith("whsec_"):
        raise ConfigError("the webhook's secret is to be 'whsec_' and base64 of its bytes")
    return key


def _retry_after(value: str) -> float:
    """Return the seconds of a ``Retry-After``; 0 where it is a date or nothing."""
    return min(float(value), LONGEST_WAIT) if value.isascii() and value.isdigit() else 0.0
