"""No notifier: followers in this process are still woken, others read on a timer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class NoNotifier:
    """Tells nobody: for logs in memory, and to show that timed reads alone suffice."""

    def start(self, wake: Callable[[], None]) -> None:
        """Do nothing."""

    def publish(self, position: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""

    def describe(self) -> dict[str, str | int]:
        """Return the kind."""
        return {"notifier": "none"}
