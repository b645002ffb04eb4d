"""A session whose temporary tables hide the projection's real ones, in a SQLite file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from eventstore.storage.sqlite._driver import SqliteDriver

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from eventstore.storage.driver import Driver
    from eventstore.storage.sqlite.connection import SqliteConnection


class SqliteHiddenTables:
    """See :class:`eventstore.storage._view_builds.HiddenTables`.

    A step reads a snapshot of the file and writes temporary tables, which are not in it: it takes
    no lock that a writer waits for.
    """

    def __init__(
        self,
        connection: SqliteConnection,
        turn: Callable[[], AbstractContextManager[None]],
        check: Callable[[], None],
    ) -> None:
        self._connection = connection
        self._turn = turn
        self._check = check

    def step(self, function: Callable[[Driver], int]) -> int:
        """Call ``function`` in a transaction for which no writer waits."""
        self._check()
        with self._transaction("BEGIN") as driver:
            return function(driver)

    def finish(self, rest: Callable[[Driver], int], replace: Callable[[Driver], None]) -> None:
        """Call both in one transaction that holds the writers' turn."""
        with self._turn():
            self._check()
            with self._transaction("BEGIN IMMEDIATE") as driver:
                rest(driver)
                replace(driver)

    @contextmanager
    def _transaction(self, begin: str) -> Iterator[SqliteDriver]:
        driver = SqliteDriver(self._connection)
        driver.run(begin)
        try:
            yield driver
            driver.run("COMMIT")
        except BaseException:
            self._connection.rollback()
            raise
        self._connection.end()
