"""Where an export, an archive or a backup may be written: never over a log or its companions."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from eventstore.errors import NotEmptyError
from eventstore.system.file_holders import lock_holders
from eventstore.system.safe_files import read_regular

if TYPE_CHECKING:
    from pathlib import Path

_COMPANIONS: Final = ("-wal", "-shm", "-journal", "-gate", "-writer", "-copy", "-notify")
"""How the names of files end that belong to a database file of a log."""

_LOCKS: Final = ("-source-", "-projection-")
"""What the names of lock files have before a digest."""

_PROJECTED: Final = ".eventstore"
_SQLITE: Final = b"SQLite format 3\0"
_ADVICE: Final = "name another file"


def check_target(path: Path, log: Path | None, *, replace: bool, database: bool = False) -> None:
    """Raise NotEmptyError where a file must not be written.

    That is, without ``replace``, a file that exists; in any case a directory, the log at ``log``,
    what belongs to a log by its name, and a database, also through links. With ``database``
    one that is not in use may be replaced.
    """
    if path.is_dir():
        raise NotEmptyError(str(path), "is a directory", "name a file in it")
    found = _belonging(path, log)
    if found is None and os.path.lexists(path):
        if not replace:
            raise NotEmptyError(str(path), "exists already", f"{_ADVICE}, or say --replace")
        found = _in_use(path, database=database)
    if found is not None:
        raise NotEmptyError(str(path), found, _ADVICE)


def _belonging(path: Path, log: Path | None) -> str | None:
    """Say to which log a path belongs, by its name or as the same file; else ``None``."""
    for place in {path.absolute(), path.resolve()}:
        if place.name.startswith(_PROJECTED) and place.suffix != ".db":
            return "has a name of files of a projected directory"
        for database in _databases_of(place):
            if database == log or database.is_file():
                return f"belongs to the log {database}"
    if log is None or not path.exists():
        return None
    ours = [log, *(log.with_name(log.name + suffix) for suffix in _COMPANIONS)]
    if any(one.exists() and path.samefile(one) for one in ours):
        return "is the log itself, or belongs to it"
    return None


def _databases_of(path: Path) -> list[Path]:
    """Return the database files whose companion a file would be by its name."""
    names = [path.name.removesuffix(suffix) for suffix in _COMPANIONS if path.name.endswith(suffix)]
    names += [path.name[: path.name.rindex(kind)] for kind in _LOCKS if kind in path.name]
    return [path.with_name(name) for name in names if name]


def _in_use(path: Path, *, database: bool) -> str | None:
    """Say what keeps an existing file from being replaced; else ``None``."""
    try:
        status = path.stat()
    except OSError:
        return None  # A link to nothing: it is replaced, not followed.
    real = path.resolve()
    used = [real.with_name(real.name + suffix) for suffix in ("-wal", "-writer")]
    # Before the file is opened: closing it would release the locks that this process has on it.
    if any(one.exists() for one in used) or lock_holders(status, "POSIX"):
        return "is a log that is in use"
    if database:
        return None
    try:
        beginning = read_regular(path, len(_SQLITE), follow=True)
    except OSError:
        return "is no regular file that can be read"
    return "is a database, not an export" if beginning == _SQLITE else None
