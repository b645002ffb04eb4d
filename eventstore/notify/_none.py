"""No notifier: subscriptions of this process are still woken, others poll."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from eventstore.log.operations import CommitBatch
    from eventstore.notify.protocol import LogIdentity, Wake


class NoNotifier:
    """Sends nothing: for logs in memory, and to show that polling alone suffices."""

    carries_batches = False

    def start(self, log: LogIdentity, wake: Wake) -> None:
        """Do nothing."""

    def publish(self, log: LogIdentity, position: int, batch: CommitBatch | None) -> None:
        """Do nothing."""

    def confirm(self, log: LogIdentity, position: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def describe(self) -> dict[str, str | int]:
        """Return the kind."""
        return {"notifier": "none"}
