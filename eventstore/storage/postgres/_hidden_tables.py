"""A session whose temporary tables hide the projection's real ones, in PostgreSQL."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from eventstore.storage.driver import Driver
    from eventstore.storage.postgres._driver import PostgresDriver

FINISH_SECONDS: Final = 3600.0
"""How long replacing the old tables may take."""


class PostgresHiddenTables:
    """See :class:`eventstore.storage._view_builds.HiddenTables`.

    ``transaction`` gives a driver in a transaction, with so many seconds for each statement. The
    session is dropped afterwards, and its temporary tables with it.
    """

    def __init__(
        self,
        connection: Connection,
        transaction: Callable[[float | None], AbstractContextManager[PostgresDriver]],
    ) -> None:
        self._transaction = transaction
        raw: Any = connection.connection.driver_connection
        self._path = raw.execute("SHOW search_path").fetchone()[0]
        # Unless it is named, the schema of temporary tables would come first.
        self._own_first = f"SET LOCAL search_path = {self._path}, pg_temp"
        self._hidden_first = f"SET LOCAL search_path = pg_temp, {self._path}"

    def step(self, function: Callable[[Driver], int]) -> int:
        """Call ``function`` in a transaction for which no writer waits."""
        with self._transaction(None) as driver:
            driver.defer(self._hidden_first)
            result = function(driver)
            driver.commit()
            return result

    def finish(self, rest: Callable[[Driver], int], replace: Callable[[Driver], None]) -> None:
        """Call both in one transaction that holds the log's head."""
        with self._transaction(FINISH_SECONDS) as driver:
            driver.defer("SET LOCAL statement_timeout = 0")
            driver.defer("SET LOCAL idle_in_transaction_session_timeout = 0")
            driver.defer(self._own_first)
            driver.lock_schema()
            driver.defer(self._hidden_first)
            rest(driver)
            driver.defer(self._own_first)
            replace(driver)
            driver.commit()
