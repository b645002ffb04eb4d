"""Cursors and events as they travel: cursors opaque, events exact."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from eventstore.errors import InvalidInputError
from eventstore.log.clock import time_text
from eventstore.log.events import BYTES_CONTENT, END, OLDEST, Cursor, Special

if TYPE_CHECKING:
    from eventstore.log.events import Event
    from eventstore.log.operations import Page


def encode_cursor(cursor: Cursor, mark: int | None = None) -> str:
    """Return a cursor as a word that is safe in URLs and headers.

    A ``mark`` makes another word of the same cursor: a client that goes on with it asks for a URL
    that no cache has an answer for.
    """
    word = base64.urlsafe_b64encode(str(cursor).encode()).decode().rstrip("=")
    return word if mark is None else f"{word}.{mark:x}"


def decode_cursor(text: str) -> Cursor | Special:
    """Return what a request means by a cursor: its own words are ``start`` and ``end``.

    Raises InvalidInputError for anything else.
    """
    if text in {"", "start"}:
        return OLDEST
    if text == "end":
        return END
    try:
        word, dot, mark = text.partition(".")
        if dot:
            int(mark, 16)
        raw = base64.b64decode(word + "=" * (-len(word) % 4), altchars=b"-_", validate=True)
        return Cursor.parse(raw.decode())
    except (ValueError, InvalidInputError) as error:
        raise InvalidInputError(f"cursor {text!r:.60}", "is none that this server gave") from error


class EventBody(msgspec.Struct, omit_defaults=True, gc=False):
    """An event as it is encoded; one of the last three fields is there."""

    position: int
    stream: str
    version: int
    id: str
    type: str
    recorded_at: str
    commit: int
    metadata: msgspec.Raw
    redacted: bool = False
    data_base64: str | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


def event_body(event: Event) -> EventBody:
    """Return an event to be encoded, its data as the bytes that are stored."""
    body = EventBody(
        event.position,
        event.stream,
        event.version,
        event.id,
        event.type,
        _time(event),
        event.commit,
        msgspec.Raw(event.raw_metadata or b"{}"),
    )
    if event.raw_data is None:
        body.redacted = True
    elif event.content == BYTES_CONTENT:
        body.data_base64 = base64.b64encode(event.raw_data).decode()
    else:
        body.data = msgspec.Raw(event.raw_data)
    return body


def _time(event: Event) -> str:
    try:
        return time_text(event.recorded_us)
    except (ValueError, OverflowError, OSError):
        return event.recorded_at.isoformat()  # It raises what says where this was found.


def page_body(page: Page, mark: int | None = None) -> bytes:
    """Return a page as JSON: its events, the cursor after them, whether there are more."""
    values: dict[str, Any] = {
        "events": [event_body(event) for event in page.events],
        "cursor": encode_cursor(page.through, mark),
        "caught_up": page.through.position >= page.head.position,
    }
    return msgspec.json.encode(values)
