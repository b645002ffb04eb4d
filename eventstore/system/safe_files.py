"""Creating files safely: written under a temporary name, made durable, then renamed."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name beside ``path``; at the end it is synced and gets that name.

    An exception, or a killed process, leaves nothing under the final name that was not
    there before. Raises StorageError where the file system fails.
    """
    path = Path(os.path.abspath(path))  # noqa: PTH100 - links are left as they are
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        try:
            yield temporary
            sync(temporary)
            temporary.replace(path)
            sync(path.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise StorageError(str(path), str(error)) from error


def sync(path: Path) -> None:
    """Make a file, or the names in a directory, durable."""
    file = os.open(path, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
