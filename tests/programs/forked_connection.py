"""Use a connection of a SQL storage in a forked child, which must not touch it. Argument: URL.

The parent is in a transaction with more changes than fit into memory. The child says which uses are
not refused, and ends as a program does, by ``sys.exit``, so that everything in it is collected.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from eventstore import ForkedError
from programs.common import say
from projections.sql import SqlConnection, SqlStorage

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 3000
TABLE = "CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT);"
INSERT = "INSERT INTO person (id, name) VALUES (?, ?)"


def child(connection: SqlConnection) -> None:
    """Try each use."""
    left = []
    uses: tuple[Callable[[], object], ...] = (
        connection.cursor,
        connection.commit,
        connection.rollback,
        connection.finish,
        connection.close,
        lambda: connection.execute("SELECT 1"),
        lambda: connection.executescript("SELECT 1"),
    )
    for number, use in enumerate(uses):
        try:
            use()
        except ForkedError:
            continue
        left.append(number)
    say("child: not refused", left)


def is_refused(use: Callable[[], object]) -> bool:
    """Return whether a forked child may not do this."""
    try:
        use()
    except ForkedError:
        return True
    return False


def main() -> None:
    """Fork in a transaction, and commit it in the parent."""
    with SqlStorage(sys.argv[1], notify="none") as storage:
        with tempfile.TemporaryDirectory() as name:
            Path(name, "1.sql").write_text(TABLE)
            storage.apply_migrations(Path(name))
        with storage.connection() as connection, storage.connection() as reader:
            query = "SELECT 1 UNION ALL SELECT 2"
            reader.execute(query).fetchall()
            rows = reader.execute(query)
            next(rows)
            connection.executemany(INSERT, [(n, "x" * 1000) for n in range(ROWS)])
            pid = os.fork()
            if pid == 0:
                child(connection)
                if storage.backend_name == "sqlite":
                    ways: tuple[Callable[[], object], ...] = (
                        lambda: next(rows),
                        lambda: list(rows),
                        rows.fetchone,
                        rows.fetchmany,
                        rows.fetchall,
                        lambda: reader.execute(query),
                    )
                    say("rows refused", sum(map(is_refused, ways)))
                sys.exit(7)
            say("status", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
            connection.execute(INSERT, (ROWS, "last"))
        with storage.connection() as connection:
            say("rows", connection.execute("SELECT count(*) FROM person").fetchone()[0])


if __name__ == "__main__":
    main()
