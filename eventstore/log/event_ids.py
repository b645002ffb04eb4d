"""How event ids are stored: a UUID as its 16 bytes, any other text as it is."""

from __future__ import annotations

from typing import Final
from uuid import UUID

from eventstore import limits
from eventstore.errors import InvalidInputError
from eventstore.log.names import check_name

_TEXT_ID: Final = 0xFF
"""First byte of an id that is stored as text. Other ids are the 16 bytes of a UUID, which keeps
the unique index small; a UUID that itself begins with this byte is stored as text."""


_UUID_BYTES: Final = 16

TEXT_IDS: Final = bytes([_TEXT_ID])
"""Ids that are stored as text are not below it, all others are."""


def pack_id(event_id: str) -> bytes:
    """Encode an event id for storage: 16 bytes for a UUID in canonical form, else text."""
    if len(event_id) == 36:
        try:
            packed = UUID(event_id)
        except ValueError:
            pass
        else:
            if packed.bytes[0] != _TEXT_ID and str(packed) == event_id:
                return packed.bytes
    return b"\xff" + event_id.encode()


def unpack_id(packed: bytes) -> str:
    """Undo :func:`pack_id`; raise ValueError or IndexError for what no id is stored as."""
    if packed[0] == _TEXT_ID:
        return packed[1:].decode()
    if len(packed) != _UUID_BYTES:
        raise ValueError(f"a UUID of {len(packed)} bytes")
    text = packed.hex()  # A quarter of the time of a UUID object, for each event of a page.
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def check_packed(packed: object) -> bytes:
    """Return a valid stored id; raise InvalidInputError for what no append would store."""
    if type(packed) is not bytes or not packed:
        raise InvalidInputError("event id", f"{packed!r:.40} is no stored id")
    if packed[0] != _TEXT_ID:
        if len(packed) != _UUID_BYTES:
            raise InvalidInputError("event id", f"{packed!r:.40} is neither a UUID nor a text")
        return packed
    try:
        text = packed[1:].decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("event id", f"{packed[1:]!r:.40} is no UTF-8") from error
    if pack_id(check_name("event id", text, limits.MAX_ID_BYTES)) != packed:
        raise InvalidInputError("event id", f"{text!r:.80} is a UUID that is stored as a text")
    return packed
