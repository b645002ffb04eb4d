"""Times of the log: microseconds since the epoch, and what they are as datetimes."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, TypeAlias

Clock: TypeAlias = Callable[[], int]
"""Returns the time in microseconds since the epoch."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def system_clock() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000


def from_microseconds(value: int) -> datetime:
    """Turn microseconds since the epoch into an aware UTC time, without rounding."""
    seconds, micros = divmod(value, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def to_microseconds(moment: datetime) -> int:
    """Turn an aware time into microseconds since the epoch, without rounding."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
