"""The issuer of signed tokens: its keys, fetched and rotated; closed where they are not known."""

from __future__ import annotations

import ipaddress
import logging
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import anyio
import httpx
import msgspec

from eventstore.errors import ConfigError, EventStoreError
from eventstore.server._problems import HttpError
from eventstore.server.issued_tokens import RefusedTokenError, read_keys, read_token
from eventstore.system.backoff import Backoff
from eventstore.system.http_url import read_http_url

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore.server.issued_tokens import Key
    from eventstore.server.tokens import IssuedToken

log = logging.getLogger(__name__)

REFRESH_SECONDS: Final = 300.0
"""Seconds between two looks at the issuer's keys."""

LOOK_SECONDS: Final = 10.0
"""Seconds between two looks that are due to a key that is not known."""

STALE_SECONDS: Final = 3_600.0
"""Seconds for which keys are used while the issuer cannot be reached."""

FAILURES: Final = (
    httpx.HTTPError,
    httpx.InvalidURL,
    OSError,
    EventStoreError,
    msgspec.MsgspecError,
    RecursionError,
)
"""What fetching may raise; a time that is over is an OSError."""

FETCH_SECONDS: Final = 10.0
LARGEST_ANSWER: Final = 1024 * 1024
MOST_TOKENS: Final = 4_096
"""Tokens whose signature is remembered."""


class _Discovery(msgspec.Struct):
    issuer: str
    jwks_uri: str


class Issuer:
    """Tells what signed tokens of one issuer allow, by keys that it fetches.

    ``url`` is the issuer as tokens name it, ``audience`` names this server in them. ``clock`` gives
    seconds. Raises ConfigError for an address that others on the way could answer for.
    """

    def __init__(
        self, url: str, audience: str, *, clock: Callable[[], float] = anyio.current_time
    ) -> None:
        self.url = url
        if not audience:
            raise ConfigError("--oidc-audience: name this server as tokens do")
        self._audience = audience
        self._discovery = f"{_checked(url).rstrip('/')}/.well-known/openid-configuration"
        self._clock = clock
        self._keys: dict[str, Key] = {}
        self._fetched: float | None = None
        self._looked: float | None = None
        self._wanted = anyio.Event()
        self._known: dict[str, IssuedToken] = {}

    def use(self, keys: dict[str, Key]) -> bool:
        """Take the issuer's present keys; return whether one that was there is gone or changed."""
        gone = any(keys.get(key_id) != key for key_id, key in self._keys.items())
        self._keys, self._fetched = keys, self._clock()
        if gone:
            self._known.clear()
        return gone

    @property
    def current(self) -> bool:
        """Whether its keys are known, and were seen less than an hour ago."""
        return self._fetched is not None and self._clock() - self._fetched < STALE_SECONDS

    def identify(self, secret: str, now_us: int) -> IssuedToken | None:
        """Return what a signed token allows; ``None`` where it gives no access.

        Raises HttpError 503 where the keys are not known, and while a new one may be fetched.
        """
        if not self.current:
            raise HttpError(503, "the issuer's keys are not known: ask again", _AGAIN)
        fingerprint = sha256(secret.encode(errors="replace")).hexdigest()
        known = self._known.get(fingerprint)
        if known is not None and self.holds(known, now_us):
            return known
        try:
            token = read_token(secret, self._keys, self.url, self._audience, now_us)
        except RefusedTokenError as error:
            log.info("%s", error)
            if error.unknown_key and self._look():
                raise HttpError(
                    503, "the issuer is asked for its keys: ask again", _AGAIN
                ) from None
            return None
        if len(self._known) >= MOST_TOKENS:
            self._known.clear()
        self._known[fingerprint] = token
        return token

    def holds(self, token: IssuedToken, now_us: int) -> bool:
        """Whether a token that was read before still gives access."""
        expired = token.expires_us is None or token.expires_us <= now_us
        return self.current and not expired and token.key_id in self._keys

    def _look(self) -> bool:
        """Ask for the keys anew, unless that was done a moment ago; return whether it is done."""
        if self._looked is not None and self._clock() - self._looked < LOOK_SECONDS:
            return False
        self._looked = self._clock()
        self._wanted.set()
        return True

    async def follow(self, on_change: Callable[[], Awaitable[None]]) -> None:
        """Keep up with the issuer's keys until cancelled; tell when one was withdrawn."""
        backoff, trouble = Backoff(first=1.0, most=30.0), ""
        while True:
            self._wanted = anyio.Event()
            try:
                gone = self.use(await self._fetch())
            except FAILURES as error:
                if trouble != (trouble := f"{type(error).__name__}: {error}"):
                    log.warning("the keys of %s cannot be fetched: %s", self.url, trouble)
                pause = backoff.next()
            else:
                backoff.reset()
                trouble, pause = "", REFRESH_SECONDS
                if gone:
                    await on_change()
            with anyio.move_on_after(pause):
                await self._wanted.wait()

    async def _fetch(self) -> dict[str, Key]:
        async with httpx.AsyncClient(timeout=FETCH_SECONDS, follow_redirects=False) as client:
            told = msgspec.json.decode(await _get(client, self._discovery), type=_Discovery)
            if told.issuer != self.url:
                raise RefusedTokenError("the issuer names itself otherwise")
            return read_keys(await _get(client, _checked(told.jwks_uri)))


_AGAIN: Final = {"retry-after": "1"}


async def _get(client: httpx.AsyncClient, url: str) -> bytes:
    body = bytearray()
    with anyio.fail_after(FETCH_SECONDS):
        async with client.stream("GET", url, headers={"accept": "application/json"}) as answer:
            if answer.status_code != httpx.codes.OK:
                raise RefusedTokenError(f"the issuer answers {answer.status_code}")
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_ANSWER:
                    raise RefusedTokenError(f"the issuer answers more than {LARGEST_ANSWER} bytes")
    return bytes(body)


def _checked(url: str) -> str:
    """Return a URL that is encrypted, or of this host; raise ConfigError, which quotes none of it.

    What stands before the host, or what makes it no URL, may be a secret.
    """
    try:
        parsed = read_http_url(url)
    except ValueError as error:
        raise ConfigError(f"the URL of an issuer: {error}") from None
    if parsed.userinfo or parsed.query or parsed.fragment or not parsed.host:
        raise ConfigError("the URL of an issuer: give https://HOST and a path alone")
    if parsed.scheme != "https" and not (parsed.scheme == "http" and _is_here(parsed.host)):
        raise ConfigError("the URL of an issuer: give https://; http:// is for this host")
    return url


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
