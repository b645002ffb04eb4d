"""Reading a URL of HTTP, which may hold a secret, by httpx (extra ``http``)."""

from __future__ import annotations

from typing import Final

import httpx

MAX_PORT: Final = 65_535
"""The largest port of TCP."""


def read_http_url(text: str) -> httpx.URL:
    """Return the parts of a URL. Raises ValueError, which quotes none of it, where it is no URL."""
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        # httpx quotes the part that it cannot take, which may be the secret.
        raise ValueError("it is no URL as a whole") from None
    if url.port is not None and url.port > MAX_PORT:
        raise ValueError(f"a port is at most {MAX_PORT}")
    return url
