"""What the operator of a server decides: caching and limits, with defaults for each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How long pages may be kept, and what one token and all of them together may ask for."""

    page_max_age: int = 3_600
    """Seconds that a cache may keep a page: the longest that redacted content may survive there."""
    shared_pages: bool = False
    """Whether a cache that all clients share may keep pages: it asks /v1/auth for each request."""


DEFAULTS: Final = ServerSettings()
