"""Cursors and events as they travel: cursors opaque, events exact."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import msgspec

from eventstore.errors import InvalidInputError
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


def event_values(event: Event) -> dict[str, Any]:
    """Return an event as JSON-ready values, its data as the bytes that are stored."""
    values: dict[str, Any] = {
        "position": event.position,
        "stream": event.stream,
        "version": event.version,
        "id": event.id,
        "type": event.type,
        "recorded_at": event.recorded_at.isoformat(),
        "commit": event.commit,
        "metadata": msgspec.Raw(event.raw_metadata or b"{}"),
    }
    if event.raw_data is None:
        values["redacted"] = True
    elif event.content == BYTES_CONTENT:
        values["data_base64"] = base64.b64encode(event.raw_data).decode()
    else:
        values["data"] = msgspec.Raw(event.raw_data)
    return values


def page_body(page: Page, mark: int | None = None) -> bytes:
    """Return a page as JSON: its events, the cursor after them, whether there are more."""
    values: dict[str, Any] = {
        "events": [event_values(event) for event in page.events],
        "cursor": encode_cursor(page.through, mark),
        "caught_up": page.through.position >= page.head.position,
    }
    return msgspec.json.encode(values)
