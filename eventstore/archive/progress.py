"""What exports, imports, backups and trims share: progress, and their result."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from eventstore.errors import NotEmptyError

if TYPE_CHECKING:
    from pathlib import Path

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


def check_free(path: Path, *, replace: bool) -> None:
    """Raise NotEmptyError where a file must not be replaced, or a directory cannot be."""
    if path.is_dir():
        raise NotEmptyError(str(path), "is a directory", "name a file in it")
    if not replace and path.exists():
        raise NotEmptyError(str(path), "exists already", "name another file, or say --replace")
