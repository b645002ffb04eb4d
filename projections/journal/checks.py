"""Checks of what the journal's callers hand in."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from datetime import UTC, date, datetime, time
from typing import Any, Final

from eventstore.errors import InvalidInputError
from eventstore.log.clock import to_microseconds
from eventstore.log.names import check_name
from projections.journal.model import ChecksumError
from projections.seams.checks import (
    check_key_size,
    check_number,
    check_optional_text,
    check_text,
)

MAX_ENTRY_ID_BYTES: Final = 200
"""The longest ``entry_id``, in bytes of UTF-8: it becomes part of an event's id."""


def check_path(what: str, value: object) -> str:
    """Return a path as text, exactly as it was given."""
    return check_text(what, os.fspath(value) if isinstance(value, os.PathLike) else value)


def check_short(what: str, value: object) -> str | None:
    """Return a text of up to MAX_KEY_BYTES, which is part of an index, or ``None``."""
    text = check_optional_text(what, value)
    return None if text is None else check_key_size(what, text)


def check_entry_id(value: object) -> str:
    """Return an id without control characters, of a sensible length."""
    return check_name("entry_id", value, MAX_ENTRY_ID_BYTES)


def check_checksum(entry_id: str, raw_line: str, sha256: object) -> str:
    """Return the checksum in lower case if it is that of the line's UTF-8."""
    actual = hashlib.sha256(raw_line.encode()).hexdigest()
    expected = check_text("sha256", sha256)
    if expected.strip().lower() != actual:
        raise ChecksumError(entry_id, expected, actual)
    return actual


def check_more(
    priority: object, category: object, tags: object, confidence: object, log_type: object
) -> dict[str, Any]:
    """Return the newer fields of an entry; tags are a text or a list of texts."""
    if isinstance(tags, Iterable) and not isinstance(tags, str | bytes):
        tags = [check_text("tags", tag) for tag in tags]
    elif tags is not None:
        tags = check_text("tags", tags)
    return {
        "priority": check_short("priority", priority),
        "category": check_short("category", category),
        "tags": tags,
        "confidence": None if confidence is None else check_number("confidence", confidence),
        "log_type": check_short("log_type", log_type),
    }


def read_moment(what: str, value: object) -> tuple[str, int]:
    """Return a moment as ISO 8601, just as it was given, and in microseconds since the epoch.

    Takes a datetime or a text. One without an offset is taken as UTC.
    """
    if isinstance(value, datetime):
        text, moment = value.isoformat(), value
    else:
        text = check_text(what, value)
        moment = _parse(what, text)
    return text, _microseconds(what, moment)


def read_boundary(what: str, value: object, *, end: bool) -> int:
    """Return the boundary of a range of time in microseconds; a mere date is that whole day."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return _microseconds(what, _whole_day(value, end=end))
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value.strip())
        except ValueError:
            pass
        else:
            return _microseconds(what, _whole_day(day, end=end))
    return read_moment(what, value)[1]


def _whole_day(day: date, *, end: bool) -> datetime:
    return datetime.combine(day, time.max if end else time.min, UTC)


def _parse(what: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInputError(what, f"{text!r:.80} is no moment in ISO 8601") from error


def _microseconds(what: str, moment: datetime) -> int:
    try:
        return to_microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except OverflowError as error:
        raise InvalidInputError(what, f"{moment} is out of range") from error
