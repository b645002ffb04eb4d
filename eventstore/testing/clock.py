"""A clock that tests set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, timedelta

START_US: Final = 1_700_000_000_000_000
"""Where a clock begins, in microseconds since the epoch: 2023-11-14 22:13:20 UTC."""


class FakeClock:
    """A clock that moves only when a test says so: ``EventStore.open(url, clock=FakeClock())``.

    ``now_us`` is its time in microseconds since the epoch, and may be set.
    """

    def __init__(self, now_us: int = START_US) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        """Return the time that it shows."""
        return self.now_us

    def set(self, moment: datetime) -> None:
        """Show a time that has a time zone."""
        from eventstore.log.clock import to_microseconds  # noqa: PLC0415 - the plugin stays light

        self.now_us = to_microseconds(moment)

    def advance(self, by: timedelta) -> None:
        """Move by so much; back, where that is negative."""
        self.now_us += (by.days * 86_400 + by.seconds) * 1_000_000 + by.microseconds
