"""Limits of a fleet's processes, so that tests need not wait as long as users would."""

from __future__ import annotations

from eventstore.storage.postgres import connection


def notice_soon() -> None:
    """Give up a frozen network after a second more than the settings say, not after 30."""
    connection.GRACE_SECONDS = 1.0  # type: ignore[misc]
