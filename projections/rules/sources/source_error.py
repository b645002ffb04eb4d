"""Why a directory of rules cannot be taken as it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from pathlib import Path


class SourceError(EventStoreError):
    """A directory of rules cannot be taken as it is; what is known of it stays.

    ``root`` is the directory.
    """

    def __init__(self, root: Path, reason: str) -> None:
        super().__init__(f"{root}: {reason}")
        self.root = root
        self.reason = reason
