"""The link at the path of an atomic directory, and the folder of its generations beside it.

The link of ``live`` leads to ``.live.generations/NUMBER``. It is relative: both may be moved
together. One system call switches it from a generation to the next.
"""

from __future__ import annotations

import errno
import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Final

from eventstore.errors import ConfigError, StorageError
from eventstore.system.c_library import call
from eventstore.system.safe_files import random_token, sync

SUFFIX: Final = ".generations"

_NUMBER: Final = re.compile("[1-9][0-9]{0,17}")
_NO_LINKS: Final = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS}
_AT_WORKING_DIRECTORY: Final = -100
_EXCHANGE: Final = 2
_CANNOT_EXCHANGE: Final = {errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}


def generation_number(name: str) -> int | None:
    """Return the number that a name in the folder stands for; None for another name."""
    return int(name) if _NUMBER.fullmatch(name) else None


def lies_in_generations(real: Path) -> bool:
    """Return whether a path without links is that of a generation."""
    above = real.parent.name
    named = above.startswith(".") and above.endswith(SUFFIX)
    return named and generation_number(real.name) is not None


class AtomicLink:
    """The link at ``root``, which may not be there; nothing is made before :meth:`switch`.

    ``path`` is the link's own, ``home`` the folder's. Methods raise OSError.
    """

    def __init__(self, root: Path) -> None:
        absolute = root.absolute()
        self.path = Path(os.path.realpath(absolute.parent)) / absolute.name
        self.home = self.path.with_name(f".{absolute.name}{SUFFIX}")

    def number(self) -> int | None:
        """Return the generation that the link leads to; None where it is no such link."""
        try:
            text = os.readlink(self.path)  # noqa: PTH115 - a Path drops what is no part of it
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.EINVAL}:
                return None
            raise
        home, _, name = text.partition("/")
        return generation_number(name) if home == self.home.name else None

    def check_support(self) -> None:
        """Raise StorageError where the file system has no symbolic links."""
        self._make(1).unlink()

    def switch(self, number: int) -> None:
        """Let the link lead to a generation, at once; raise StorageError for a directory there."""
        made = self._make(number)
        try:
            made.replace(self.path)
        except BaseException as error:
            with suppress(OSError):
                made.unlink()
            if isinstance(error, IsADirectoryError):
                reason = "was replaced by a directory: move that away"
                raise StorageError(str(self.path), reason) from error
            raise

    def sync(self) -> None:
        """Make the link's name durable."""
        sync(self.path.parent)

    def exchange(self, number: int) -> None:
        """Exchange what is at the path, in one step, with a generation.

        A link that leads to it is put in the place of the generation before, if there is none.
        Raises ConfigError where the system cannot.
        """
        there = self.home / str(number)
        if not there.exists():
            there.symlink_to(f"{self.home.name}/{number}")
        names = os.fsencode(there), os.fsencode(self.path)
        try:
            call(
                "renameat2",
                *(_AT_WORKING_DIRECTORY, names[0], _AT_WORKING_DIRECTORY, names[1], _EXCHANGE),
            )
        except OSError as error:
            if error.errno not in _CANNOT_EXCHANGE:
                raise
            reason = "this file system cannot exchange a directory and a link in one step"
            raise ConfigError(f"{reason}: move {self.path} away, and project again") from error
        finally:
            if there.is_symlink():
                there.unlink()

    def _make(self, number: int) -> Path:
        """Make a link in the folder; it says the same where it is moved to."""
        made = self.home / f"{random_token()}.link"
        try:
            made.symlink_to(f"{self.home.name}/{number}")
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            reason = "its file system has no symbolic links: project without atomic"
            raise StorageError(str(self.path), reason) from error
        return made
