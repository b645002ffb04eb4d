"""The root of all errors, and those of what was given: settings, names, events, sizes."""

from __future__ import annotations

from eventstore.picklable import PicklableError


class EventStoreError(PicklableError):
    """Root of every error raised by ``eventstore`` and ``projections``."""


class ConfigError(EventStoreError, ValueError):
    """A setting, URL or environment variable cannot be used as given."""


class InvalidInputError(EventStoreError, ValueError):
    """A name, event or argument was refused before anything was queued.

    ``what`` names the thing that was refused, ``reason`` says why.
    """

    def __init__(self, what: str, reason: str) -> None:
        super().__init__(f"{what}: {reason}")
        self.what, self.reason = what, reason


class LimitExceededError(InvalidInputError):
    """Something is larger than :mod:`eventstore.limits` allows."""

    def __init__(self, what: str, actual: int, limit: int) -> None:
        super().__init__(what, f"{actual:,} is over the limit of {limit:,}")
        self.actual, self.limit = actual, limit
