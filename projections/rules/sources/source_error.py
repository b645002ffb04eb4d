"""Why a directory of rules cannot be taken as it is."""

from __future__ import annotations

import os
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


def check_directory(root: Path) -> None:
    """Raise SourceError where there is no directory, or it cannot be listed."""
    try:
        with os.scandir(root):
            pass
    except FileNotFoundError as error:
        raise SourceError(root, "is not there; its rules stay as they are") from error
    except OSError as error:
        raise SourceError(root, f"it cannot be listed: {error.strerror}") from error
