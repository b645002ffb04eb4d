"""What exports, imports, backups and trims share: progress, and their result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import msgspec

Progress: TypeAlias = Callable[[int, int], None]
"""Called with how much is done and how much there is: events, or pages of a database.

What it raises ends the work, which then leaves nothing behind.
"""


class Moved(msgspec.Struct, frozen=True):
    """What an export or an import did: how far the log goes, how many events it has.

    ``sha256`` is that of the whole file, in hex, as ``sha256sum`` prints it; empty for an
    import.
    """

    position: int
    events: int
    sha256: str = ""


def no_progress(done: int, total: int) -> None:
    """Report to no one: for callers that show no progress."""
