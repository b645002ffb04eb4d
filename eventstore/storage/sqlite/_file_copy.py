"""Copies of a SQLite log as a file: taken while writers go on, put back without a stale WAL."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import NotEmptyError, StorageError
from eventstore.storage.incarnation import renew_file
from eventstore.storage.sqlite.forked_files import begin_use, check_inherited, end_use
from eventstore.storage.sqlite.read_only import is_read_only, read_unlocked
from eventstore.storage.sqlite.write_turn import WAIT_SECONDS, WriteTurn
from eventstore.system.safe_files import permissions, replacing, sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from eventstore.storage.sqlite._driver import SqliteDriver

PAGES: Final = 1_000
"""Database pages copied between two calls of ``progress``."""

BUSY_SECONDS: Final = 30.0
"""How long to wait for a writer that does not take turns."""


def backup(path: Path, target: Path, progress: Callable[[int, int], None], *, replace: bool) -> int:
    """Copy the log at ``path`` into one new file; return the position that it is at.

    The copy is as of one moment, while writers go on. ``progress`` is called with the number of
    pages done and of all pages; what it raises ends the copy and leaves nothing behind.
    Without ``replace`` a file that is at ``target`` by the end is NotEmptyError, and is left.
    """
    if is_read_only(path):
        return _backup_unlocked(path, target, progress, replace=replace)
    with _errors_naming(path), closing(_open(path)) as source:
        # A read transaction of this connection: what others commit meanwhile is left out,
        # and does not make the copying start again.
        source.execute("BEGIN")
        position = read_position(source, path)
        with _new_file(target, permissions(path), replace=replace) as temporary:
            _copy(source, temporary, progress)
    return position


def _backup_unlocked(
    path: Path, target: Path, progress: Callable[[int, int], None], *, replace: bool
) -> int:
    """Copy a log that this process may not write, as :func:`backup` does."""

    def copy(driver: SqliteDriver) -> int:
        source: Any = driver.raw
        position = read_position(source, path)
        with _new_file(target, permissions(path), replace=replace) as temporary:
            _copy(source, temporary, progress)
        return position

    with _errors_naming(path):
        return read_unlocked(path, copy)


@contextmanager
def _new_file(target: Path, mode: int, *, replace: bool) -> Iterator[Path]:
    """Give a temporary file that gets the name ``target``, as ``replacing`` does."""
    try:
        with replacing(target, mode=mode, replace=replace) as temporary:
            yield temporary
    except StorageError as error:
        if isinstance(error.__cause__, FileExistsError):
            raise NotEmptyError(
                str(target), "appeared meanwhile", "name another file, or say --replace"
            ) from error
        raise


def restore(
    copy: Path,
    path: Path,
    progress: Callable[[int, int], None],
    *,
    replace: bool,
    write_wait: float = WAIT_SECONDS,
) -> int:
    """Put a copy in the place of the log at ``path``; return the position that it is at.

    A log that is there is overwritten through its own pager, in one transaction: a killed
    process leaves the old one or the new one, no WAL is left over, and processes that use
    it see the new one. Without ``replace`` it is NotEmptyError.
    """
    check_readable(copy)
    with _errors_naming(copy), closing(_open(copy, "ro")) as source:
        position = read_position(source, copy)
        with closing(WriteTurn(path, write_wait)) as turn, turn.hold(), _errors_naming(path):
            found = _probe(path)
            if found is not None and not replace:
                raise NotEmptyError(str(path), f"holds {found}", "say --replace to overwrite it")
            if found is not None and found != _DAMAGED:
                _overwrite(source, path, progress)
                return position
            # No program can use that file. Its WAL is removed first: it fits no other file.
            with replacing(path, mode=permissions(copy)) as temporary:
                _copy(source, temporary, progress)
                for suffix in ("-wal", "-shm", "-journal"):
                    path.with_name(path.name + suffix).unlink(missing_ok=True)
    return position


_DAMAGED: Final = "a file that is no readable database"


def read_position(connection: sqlite3.Connection, path: Path) -> int:
    """Return the head of the log in a database; raise StorageError where there is none."""
    row = connection.execute("SELECT position FROM head").fetchone()
    if row is None:
        raise StorageError(str(path), "it is no event log")
    return int(row[0])


def check_readable(copy: Path) -> None:
    """Raise StorageError where a copy is no event log, or its file is damaged."""
    if not copy.is_file():
        reason = "it is no file" if copy.exists() else f"no file at {copy.absolute()}"
        raise StorageError(str(copy), reason)
    with _errors_naming(copy), closing(_open(copy, "ro")) as connection:
        read_position(connection, copy)
        found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
        if found != "ok":
            raise StorageError(str(copy), f"the copy is damaged: {found}")


def _probe(path: Path) -> str | None:
    """Say what is at ``path``; ``None`` where there is nothing. Refuse another's database."""
    if not path.exists() or path.stat().st_size == 0:
        return None
    try:
        with closing(_open(path)) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master").fetchall()
            if tables and ("head",) not in tables:
                raise StorageError(str(path), "it is a database of something else: name another")
            return f"a log at position {read_position(connection, path) if tables else 0}"
    except sqlite3.DatabaseError:
        return _DAMAGED


def _overwrite(
    source: sqlite3.Connection, path: Path, progress: Callable[[int, int], None]
) -> None:
    with closing(_open(path)) as target:
        target.execute("PRAGMA journal_mode=WAL")
        target.execute("PRAGMA synchronous=FULL")
        source.backup(target, pages=PAGES, progress=_page_progress(progress))
        renew_file(target)
        # This empties the WAL unless a reader still needs it; then it stays valid.
        with suppress(sqlite3.OperationalError):
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _copy(source: sqlite3.Connection, target: Path, progress: Callable[[int, int], None]) -> None:
    with closing(sqlite3.connect(target, isolation_level=None)) as connection:
        source.backup(connection, pages=PAGES, progress=_page_progress(progress))
        # The source's header names WAL mode; without a WAL the copy is a single file.
        connection.execute("PRAGMA journal_mode=DELETE")
        renew_file(connection)
    sync(target)


@contextmanager
def _errors_naming(path: Path) -> Iterator[None]:
    """Turn errors of SQLite and of the file system into StorageError, naming the file."""
    use = object()
    begin_use(use)
    try:
        yield
    except sqlite3.OperationalError as error:
        reason = "it is no event log" if "no such table" in str(error) else str(error)
        raise StorageError(str(path), reason) from error
    except (sqlite3.Error, OSError) as error:
        raise StorageError(str(path), str(error)) from error
    finally:
        end_use(use)


def _page_progress(progress: Callable[[int, int], None]) -> Callable[[int, int, int], None]:
    return lambda _, left, total: progress(total - left, total)


def _open(path: Path, mode: str = "rw") -> sqlite3.Connection:
    check_inherited(path)
    name = path.resolve().as_uri()
    return sqlite3.connect(
        f"{name}?mode={mode}", uri=True, isolation_level=None, timeout=BUSY_SECONDS
    )
