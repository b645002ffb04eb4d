"""Which file a URL names."""

from __future__ import annotations

import stat
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote

from eventstore.errors import ConfigError, NoLogError
from eventstore.system.secret_url import SecretUrl


def database_path(url: str | SecretUrl) -> Path | None:
    """Return the file that a SQLite URL names, made absolute; ``None`` for ``memory://``.

    Raises ConfigError for any other URL, without a password that may be in it.
    """
    url = SecretUrl.of(url)
    if url.given == "memory://":
        return None
    if url.scheme == "memory":
        raise ConfigError(f"{url!r} is not known: a log in memory is memory://")
    path, database = None, unquote(url.path.removeprefix("/"))
    if url.given.startswith(f"{url.scheme}://"):
        # Without the error in the chain: it may quote the password.
        with suppress(ValueError, RuntimeError, OSError):
            # Resolved, so that processes which reach the file by different links share its locks.
            path = Path(database).expanduser().resolve()
    if path is None:
        raise ConfigError(f"{url!r} is not a database URL: use sqlite:///events.db, or memory://")
    if database in {"", ":memory:"} or not path.name:
        raise ConfigError(f"{url!r} names no file: use sqlite:///events.db, or memory://")
    if url.authority or url.query.removeprefix("?"):
        raise ConfigError(f"{url!r} has a host or options, which a file has not: leave them out")
    return path


def log_file(url: str | SecretUrl) -> Path | None:
    """Return the file that the log at ``url`` is; ``None`` for memory and for a server."""
    url = SecretUrl.of(url)
    return database_path(url) if url.scheme == "sqlite" else None


def check_present(path: Path | None, where: str) -> None:
    """Raise NoLogError where no regular file with content is at ``path``, or none is named.

    ``where`` is how the error names the log.
    """
    if path is None:
        raise NoLogError(where, "a log in memory begins with its program")
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise NoLogError(where) from error
    if not stat.S_ISREG(status.st_mode):
        kind = "a directory" if stat.S_ISDIR(status.st_mode) else "no regular file"
        raise NoLogError(where, f"it is {kind}")
    if not status.st_size:
        raise NoLogError(where, "the file is empty")
