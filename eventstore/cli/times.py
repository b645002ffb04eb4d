"""Times for people: read from options, printed with date and one zone."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Final

_in_utc: Final = ContextVar("in_utc", default=False)
"""Whether times are printed in UTC, rather than in the zone of the user."""

LONGEST: Final = timedelta(days=999_999_999)
"""The longest duration, which has a negative counterpart; longer than the calendar."""

_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def print_in_utc(*, utc: bool) -> None:
    """Choose the zone of all times that this run of a command prints."""
    _in_utc.set(utc)


def show_time(moment: datetime) -> str:
    """Return an aware time as ``2026-01-31 12:00:00+01:00``, in the zone of this run."""
    try:
        shown = moment.astimezone(UTC) if _in_utc.get() else moment.astimezone()
    except (OverflowError, ValueError, OSError):
        shown = moment  # Years 1 and 9999 end within a zone.
    return shown.isoformat(sep=" ", timespec="seconds")


def show_stored_time(text: object) -> str:
    """Return a stored ISO 8601 time as :func:`show_time` does; any other value as it is."""
    moment = parse_time(str(text))
    return str(text) if moment is None else show_time(moment)


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


def now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)
