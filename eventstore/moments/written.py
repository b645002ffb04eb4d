"""What a text means as a moment, before any log is asked.

==========================  ===================================================
``1234``                    a position
``2026-01-31T12:00+01:00``  a time, the local one unless it names a zone
``now``, ``now-2h``         the present, or so long ago: s, m, h or d
``git:1a2b3c4``             a commit of git, by its hash or the beginning of it
``tag:NAME``                a tag
``NAME``, ``1a2b3c4``       a tag or a commit of git, whichever there is
==========================  ===================================================
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

from eventstore.errors import InvalidInputError
from eventstore.system.time_text import parse_duration, parse_time, shifted

if TYPE_CHECKING:
    from datetime import timedelta

TAG: Final = "tag:"
GIT: Final = "git:"

LEAST_HASH: Final = 4
"""Digits that the beginning of a hash must have, as in git."""

_HASH: Final = re.compile(rf"[0-9a-f]{{{LEAST_HASH},64}}", re.IGNORECASE)
_NOW: Final = re.compile(r"now(?:([+-])(.*))?")

MAX_DIGITS: Final = 4_000
"""Python refuses to read numbers of some thousand digits."""

FORMS: Final = (
    "a position (1234), a time (2026-01-31T12:00+01:00, now, now-2h), git:HASH or tag:NAME"
)


class AtPosition(NamedTuple):
    """After the event at a position."""

    position: int


class AtTime(NamedTuple):
    """After everything that was recorded up to a time, which is aware."""

    time: datetime


class AtTag(NamedTuple):
    """At a tag."""

    name: str


class AtCommit(NamedTuple):
    """After a commit of git was synced; ``start`` is the beginning of its hash, in lower case."""

    start: str


class AtName(NamedTuple):
    """At a tag, or after a commit of git: the one that there is."""

    name: str


Written: TypeAlias = AtPosition | AtTime | AtTag | AtCommit | AtName


def read_written(given: int | datetime | str, now: datetime) -> Written:
    """Return what a moment means that was given as a number, an aware time or a text.

    Raises InvalidInputError for what cannot be one.
    """
    if isinstance(given, datetime):
        if given.utcoffset() is None:
            raise InvalidInputError("moment", f"{given} has no time zone")
        return AtTime(given)
    if type(given) is int and given >= 0:
        return AtPosition(given)
    if not isinstance(given, str):
        raise InvalidInputError("moment", f"{given!r:.80} is none: give {FORMS}")
    return _read_text(given, now)


def _read_text(text: str, now: datetime) -> Written:
    if text.startswith(TAG):
        return AtTag(text.removeprefix(TAG))
    if text.startswith(GIT):
        start = text.removeprefix(GIT)
        if not is_hash(start):
            reason = f"{text!r:.80} names no hash: give its first {LEAST_HASH} digits or more"
            raise InvalidInputError("moment", reason)
        return AtCommit(start.lower())
    if text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS:
        return AtPosition(int(text))
    if (found := _NOW.fullmatch(text)) is not None:
        return AtTime(_from_now(text, found, now))
    if (time := parse_time(text)) is not None:
        return AtTime(time)
    if not text:
        raise InvalidInputError("moment", f"is empty: give {FORMS}")
    return AtName(text)


def _from_now(text: str, found: re.Match[str], now: datetime) -> datetime:
    sign, written = found.groups()
    if sign is None:
        return now
    duration: timedelta | None = parse_duration(written)
    if duration is None:
        raise InvalidInputError("moment", f"{text!r:.80} is none: give now-30m, now-2h or now-7d")
    time = shifted(now, duration if sign == "+" else -duration)
    if time is None:
        raise InvalidInputError("moment", f"{text!r:.80} is beyond the calendar")
    return time


def is_hash(text: str) -> bool:
    """Whether a text can be a hash of git, or the beginning of one."""
    return _HASH.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a text means a tag or a commit, and nothing else."""
    try:
        return isinstance(_read_text(text, datetime.now(UTC)), AtName) and ":" not in text
    except InvalidInputError:
        return False
