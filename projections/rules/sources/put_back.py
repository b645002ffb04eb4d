"""Files of a source as a revert restores them, in the directory of the source."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from eventstore.system.printable import escape_path
from eventstore.system.safe_files import writing
from projections.rules.sources._bound_reads import real_path
from projections.rules.sources.source_error import SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_files(root: Path, files: Mapping[str, bytes | None]) -> None:
    """Raise SourceError where the directory is not there, or a path is that of none of its files.

    A path would lead out of it, or is that of a directory.
    """
    if not root.is_dir():
        raise SourceError(root, "is no directory: its files cannot be written")
    for path in files:
        if _inside(root, path).is_dir():
            raise SourceError(
                root, f"{escape_path(path)} is a directory: nothing was written there"
            )


def put_back(root: Path, files: Mapping[str, bytes | None]) -> int:
    """Write files below a directory, and remove those without content; return their number.

    Each is replaced whole. Paths come from the log: one that would lead out of the directory, by
    itself or by a link, raises SourceError.
    """
    check_files(root, files)
    for path, content in files.items():
        if content is None:
            _inside(root, path).unlink(missing_ok=True)
    for path, content in files.items():
        if content is not None:
            _inside(root, path).parent.mkdir(parents=True, exist_ok=True)
            with writing(_inside(root, path)) as file:
                file.write(content)
    return len(files)


def _inside(root: Path, path: str) -> Path:
    """Return where a path leads below a directory."""
    parts = PurePosixPath(path).parts
    plain = parts and not path.startswith("/") and ".." not in parts and "\0" not in path
    found = root.joinpath(*parts)
    real_root = real_path(root)
    if not plain or not (real_path(found.parent) + os.sep).startswith(real_root + os.sep):
        raise SourceError(root, f"{escape_path(path)} leads out of it: nothing was written there")
    return found
