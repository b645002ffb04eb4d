"""The protocol of a notifier, and what it calls to wake followers.

It is synchronous: the store calls it from threads of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from eventstore.log.operations import CommitBatch


class LogIdentity(NamedTuple):
    """Which log, and which copy of its history: hints of another copy are not believed.

    ``incarnation`` is empty for a log that never was a copy, and in what earlier versions send.
    """

    log_id: str
    incarnation: str = ""


class Wake(Protocol):
    """What a notifier calls, from any thread, when the log may have grown."""

    def __call__(self, position: int | None = None, batch: CommitBatch | None = None) -> None:
        """Wake the followers.

        ``position`` is how far the log is said to have come, ``None`` where that is not
        known; ``batch`` is what was appended, where the notifier vouches for it.
        """


class Notifier(Protocol):
    """Wakes followers of other processes early. A hint: it may be late, doubled or lost."""

    carries_batches: bool
    """Whether ``publish`` has a use for what was appended."""

    def start(self, log: LogIdentity, wake: Wake) -> None:
        """Begin to call ``wake`` when that log may have grown."""

    def publish(self, log: LogIdentity, position: int, batch: CommitBatch | None) -> None:
        """Tell other processes that ``position`` was committed. Never waits, never raises."""

    def confirm(self, log: LogIdentity, position: int) -> None:
        """Tell who follows in other processes that a look found the log at ``position``.

        Spares them a look of their own. Never waits, never raises, and may do nothing.
        """

    def close(self) -> None:
        """Stop; ``wake`` is not called any more afterwards."""

    def describe(self) -> dict[str, str | int]:
        """Return facts for ``status``: kind, whether it works, how often it woke."""
