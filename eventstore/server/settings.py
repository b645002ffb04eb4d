"""What the operator of a server decides: caching and limits, with defaults for each."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

from eventstore.errors import ConfigError

MIB: Final = 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How long pages may be kept, and what one token and all of them together may ask for.

    Raises ConfigError for a limit that lets nothing through.
    """

    behind_proxy: bool = False
    """Whether all requests come through a proxy: then no address tells whose they are."""
    page_max_age: int = 3_600
    """Seconds that a cache may keep a page: the longest that redacted content may survive there."""
    shared_pages: bool = False
    """Whether a cache that all clients share may keep pages: it asks /v1/auth for each request."""
    max_body: int = 16 * MIB
    """Bytes of a request's body."""
    max_headers: int = 32 * 1024
    """Bytes of a request's line and headers."""
    header_seconds: float = 15.0
    """Seconds from a connection, or from a request's first byte, to the end of its headers."""
    body_seconds: float = 60.0
    """Seconds from the end of a request's headers to the end of its body."""
    write_seconds: float = 60.0
    """Seconds that a client may leave an answer unread while the server has more to send."""
    connections: int = 10_000
    """Connections in all."""
    token_requests: int = 1_000
    """Requests of one token that are being answered."""
    streams: int = 10_000
    """Live streams and waiting requests in all."""
    token_streams: int = 1_000
    """Those of one token."""
    rate: float = 1_000.0
    """Requests a second of one token, of which twice as many may come at once."""

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name in {"behind_proxy", "page_max_age", "shared_pages"} else 1e-6
            if not least <= getattr(self, field.name) < float("inf"):
                name = field.name.replace("_", "-")
                raise ConfigError(f"--{name} {getattr(self, field.name)}: give a number above 0")


DEFAULTS: Final = ServerSettings()
