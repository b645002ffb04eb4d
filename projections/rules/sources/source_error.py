"""Why a directory of rules cannot be taken as it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from eventstore.errors import EventStoreError

if TYPE_CHECKING:
    from pathlib import Path


MANIFESTS: Final = frozenset({".eventstore.json", ".eventstore-manifest"})
"""The files by which a projected directory is known, one of memories by the second."""


class SourceError(EventStoreError):
    """A directory of rules cannot be taken as it is; what is known of it stays.

    ``root`` is the directory.
    """

    def __init__(self, root: Path, reason: str) -> None:
        super().__init__(f"{root}: {reason}")
        self.root, self.reason = root, reason


class SourceMissingError(SourceError):
    """A directory of rules is not there; its rules stay as they are."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, "is not there; its rules stay as they are")


def check_directory(root: Path) -> None:
    """Raise SourceError where there is no directory, or it cannot be listed."""
    try:
        with os.scandir(root):
            pass
    except FileNotFoundError as error:
        raise SourceMissingError(root) from error
    except OSError as error:
        raise SourceError(root, f"it cannot be listed: {error.strerror}") from error


def projected_directory(root: Path, folder: str) -> SourceError:
    """Return the error for a directory that is projected from a log, or has such a folder."""
    return SourceError(
        root,
        f"{folder or 'it'} is a projected directory: syncing it would feed the log with its own "
        "output; name the directory that people edit",
    )


def refuse_projected(root: Path) -> None:
    """Raise SourceError where a directory is projected from a log, or has such a folder."""
    for folder, folders, files in os.walk(root):
        if not MANIFESTS.isdisjoint(files):
            raise projected_directory(root, os.path.relpath(folder, root).removeprefix("."))
        folders[:] = [name for name in folders if not name.startswith(".")]
