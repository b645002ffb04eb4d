"""Times for people: read from options, printed with date and one zone."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

from eventstore.system.time_text import parse_time

_in_utc: Final = ContextVar("in_utc", default=False)
"""Whether times are printed in UTC, rather than in the zone of the user."""


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


def now() -> datetime:
    """Return the present time, aware."""
    return datetime.now(UTC)
