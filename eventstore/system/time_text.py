"""Times and durations as people write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final

LONGEST: Final = timedelta(days=999_999_999)
"""The longest duration, which has a negative counterpart; longer than the calendar."""

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def parse_duration(text: str) -> timedelta | None:
    """Return a duration such as ``30m``, ``2h`` or ``7d``, or ``None`` for another text.

    One that is longer than a timedelta can be is ``LONGEST``.
    """
    number, unit = text[:-1], text[-1:]
    if unit not in _UNITS or not (number.isascii() and number.isdecimal()):
        return None
    try:
        return timedelta(**{_UNITS[unit]: int(number)})
    except (OverflowError, ValueError):
        return LONGEST


def parse_time(text: str) -> datetime | None:
    """Return an ISO 8601 time, the local one unless it names a zone, or ``None``."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.tzinfo is not None:
        return moment
    try:
        return moment.astimezone()
    except (ValueError, OverflowError, OSError):
        return moment.replace(tzinfo=UTC)  # Years 1 and 9999 end within a zone.


def shifted(moment: datetime, by: timedelta) -> datetime | None:
    """Return ``moment + by``, or ``None`` where no calendar date is so far away."""
    try:
        return moment + by
    except OverflowError:
        return None


def show_age(seconds: float) -> str:
    """Return a duration for people, in the largest unit of which it has two: ``90 min``."""
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{int(seconds // size)} {unit}"
    return f"{seconds:.1f} s"
