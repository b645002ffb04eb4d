"""Times of the log: microseconds since the epoch, and what they are as datetimes."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final, TypeAlias

from eventstore.errors import ConfigError
from eventstore.limits import MAX_TIME_US

Clock: TypeAlias = Callable[[], int]
"""Returns the time in microseconds since the epoch."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


AHEAD_US: Final = 60_000_000
"""How far recorded times may be ahead of the clock without a word: clocks of hosts differ."""

log = logging.getLogger(__name__)


def time_ahead(recorded_us: int, now_us: int) -> int:
    """Return by how many microseconds a recorded time is ahead of the clock; 0 for a minute."""
    ahead = recorded_us - now_us
    return ahead if ahead > AHEAD_US else 0


def checked(clock: Clock) -> Clock:
    """Return a clock that raises ConfigError instead of a time that no event can have."""

    def now() -> int:
        now_us: object = clock()
        if type(now_us) is int and 0 <= now_us <= MAX_TIME_US:
            return now_us
        raise ConfigError(
            f"the clock shows {now_us!r:.40}, which is no time between the years 1970 and 9999 in "
            "microseconds since 1970: set it before anything is written"
        )

    return now


class ClockWatch:
    """Warns once while recorded times, which never run backwards, are ahead of the clock."""

    def __init__(self) -> None:
        self._ahead = False

    def look(self, recorded_us: int, now_us: int) -> None:
        """Compare the last recorded time with the clock, at an append."""
        ahead = time_ahead(recorded_us, now_us)
        if ahead and not self._ahead:
            log.warning(
                "the last recorded time is %d s ahead of the clock, which was once set ahead: "
                "events are recorded with that time until the clock has passed it, and a trim "
                "needs a position instead of a time",
                ahead // 1_000_000,
            )
        self._ahead = ahead > 0


def system_clock() -> int:
    """Return the time in microseconds since the epoch."""
    return time.time_ns() // 1000


def from_microseconds(value: int) -> datetime:
    """Turn microseconds since the epoch into an aware UTC time, without rounding."""
    return _EPOCH + timedelta(0, 0, value)


def time_text(value: int) -> str:
    """Return the ISO 8601 text of microseconds since the epoch: that of :func:`from_microseconds`.

    Events of one second share most of it, so it is made in a third of the time.
    """
    seconds, fraction = divmod(value, 1_000_000)
    begun = _second_text(seconds)
    return f"{begun}.{fraction:06}+00:00" if fraction else f"{begun}+00:00"


@lru_cache(maxsize=256)
def _second_text(seconds: int) -> str:
    return from_microseconds(seconds * 1_000_000).isoformat()[:19]


def to_microseconds(moment: datetime) -> int:
    """Turn an aware time into microseconds since the epoch, without rounding."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
