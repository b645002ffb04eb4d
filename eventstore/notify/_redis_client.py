"""Connecting to Redis: what a URL means, and what its errors ask of an operator.

A client uses AUTH, SUBSCRIBE, PUBLISH and PING, in version 2 of the protocol. Redis 6.2 and
Valkey know all of them, and a user's ACL has to allow nothing else.
"""

from __future__ import annotations

import re
import ssl
from typing import TYPE_CHECKING, Final

import redis
from redis.backoff import NoBackoff
from redis.exceptions import NoPermissionError
from redis.retry import Retry

from eventstore.errors import ConfigError
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_SECONDS: Final = 5.0
"""How long connecting, and one answer, may take."""

_CERTIFICATE: Final = (
    "if it wants a certificate, add ?ssl_certfile=FILE&ssl_keyfile=FILE to the URL"
)

ADVICE: Final[tuple[tuple[type[BaseException], str, str], ...]] = (
    (redis.AuthenticationError, "", "mend user and password in the notifier's URL"),
    (
        NoPermissionError,
        "",
        "its user needs &eventstore:* +subscribe +publish +ping (ACL SETUSER)",
    ),
    (
        ssl.SSLCertVerificationError,
        "",
        "name the host as its certificate does, and its CA by ?ssl_ca_certs=FILE, in the URL",
    ),
    (ssl.SSLEOFError, "", _CERTIFICATE),
    (ssl.SSLError, "[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED", _CERTIFICATE),
    (ssl.SSLError, "", "rediss:// is for a port that speaks TLS, redis:// for one that does not"),
    # Redis without TLS takes the beginning of a handshake for part of a command, and waits.
    (redis.TimeoutError, "Timeout connecting", "does the URL's port answer, and speak TLS or not?"),
    (FileNotFoundError, "", "the notifier's URL names a file or socket that is not there"),
)
"""Error type, beginning of its text, and what to do about it; causes are searched too."""


def make_client(url: str | SecretUrl) -> redis.Redis:
    """Return a client that has not connected yet.

    Raises ConfigError for a URL that can never work.
    """
    url = SecretUrl.of(url)
    reason = (
        "it is redis[s]://[user[:password]@]host[:port][/0], with what is no letter or digit in "
        "user name and password percent-encoded"
    )
    try:
        # Behind the host it is a part of the password that begins with a '/', '?' or '#'.
        misplaced = "@" in url.path + url.query and url.scheme != "unix"
        client = None if misplaced else _from_url(url.given)
    except (ValueError, TypeError) as error:
        client = None
        if named := re.search(r"'(\w+)' in connection URL|argument '(\w+)'", str(error)):
            reason = f"its parameter {named[1] or named[2]!r} is not understood"
    except redis.RedisError as error:
        client, reason = None, str(error)
    if client is None:
        # Without the library's error in its chain, which may quote a part of the password.
        raise ConfigError(f"the notifier's Redis URL cannot be used: {reason}")
    return client


def _from_url(url: str) -> redis.Redis:
    client = redis.Redis.from_url(
        url,
        socket_timeout=TIMEOUT_SECONDS,
        socket_connect_timeout=TIMEOUT_SECONDS,
        # The library's own retries would hide that a subscription was interrupted.
        retry=Retry(NoBackoff(), 0),
        # The library would otherwise begin with commands that older servers do not know.
        protocol=2,
        driver_info=None,
    )
    # The library checks parameters when it connects, which would be in a thread and too late.
    pool = client.connection_pool
    pool.connection_class(**pool.connection_kwargs)
    return client


def explain(error: BaseException) -> str:
    """Return what went wrong in one line, and what to do where that is known."""
    text = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    for cause in _causes(error):
        for kind, beginning, advice in ADVICE:
            if isinstance(cause, kind) and str(cause).startswith(beginning):
                return f"{text}: {advice}"
    return text


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
