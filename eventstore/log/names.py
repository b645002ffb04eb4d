"""Which names the log accepts for streams, event types, ids and consumers."""

from __future__ import annotations

import re
import unicodedata
import uuid
from functools import lru_cache
from typing import Final

from eventstore import limits
from eventstore.errors import InvalidInputError, LimitExceededError

_UUID: Final = re.compile(r"(?:urn:uuid:)?\{?[0-9a-f-]{32,36}\}?", re.IGNORECASE)

KNOWN_NAMES: Final = 1_024
"""Valid event types that are remembered, and as many stream names."""


def check_name(what: str, name: object, limit: int) -> str:
    """Return ``name`` if it may be stored; raise :class:`InvalidInputError` otherwise.

    Refused are empty names, control characters (a NUL would fail on PostgreSQL only),
    lone surrogates (they have no UTF-8) and names longer than ``limit`` bytes.
    """
    if not isinstance(name, str) or not name:
        raise InvalidInputError(what, f"must be a text that is not empty, not {name!r:.80}")
    try:
        size = len(name.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError(what, f"{name!r:.80} cannot be written as UTF-8") from error
    if size > limit:
        raise LimitExceededError(f"{what} {name[:40]!r}…, bytes", size, limit)
    if not name.isprintable() and any(unicodedata.category(c) == "Cc" for c in name):
        raise InvalidInputError(what, f"{name!r:.80} contains a control character")
    return name


def check_type(name: object) -> str:
    """Return a valid event type; raise InvalidInputError or LimitExceededError otherwise."""
    return _check_type(name) if type(name) is str else _check_type.__wrapped__(name)


@lru_cache(KNOWN_NAMES)
def _check_type(name: object) -> str:
    return check_name("event type", name, limits.MAX_TYPE_BYTES)


def canonical_uuid(text: str) -> str | None:
    """Return a UUID in its canonical spelling; ``None`` for a text that is none."""
    if not _UUID.fullmatch(text):
        return None
    try:
        return str(uuid.UUID(text))
    except ValueError:
        return None


def check_stream(name: object) -> str:
    """Return a valid stream name, ``category/key``; raise InvalidInputError otherwise."""
    return _check_stream(name) if type(name) is str else _check_stream.__wrapped__(name)


@lru_cache(KNOWN_NAMES)
def _check_stream(name: object) -> str:
    stream = check_name("stream", name, limits.MAX_STREAM_BYTES)
    category, slash, key = stream.partition("/")
    if not (category and slash and key) or stream.endswith("/"):
        raise InvalidInputError(f"stream {stream!r}", "must be named category/key")
    return stream
