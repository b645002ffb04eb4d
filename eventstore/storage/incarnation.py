"""Which copy of a log this is: what two copies of one history are told apart by.

A log that was only ever written has none. A backup, a restored log and an imported one get a new
one each, in a table of its own that earlier versions do not know and do not mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from uuid_utils import uuid7

from eventstore.errors import LogReplacedError

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Callable

    from eventstore.storage.driver import Driver

TABLE: Final = "log_incarnation"

_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (one SMALLINT NOT NULL PRIMARY KEY, "
    "id VARCHAR NOT NULL, CHECK (one = 1))"
)
_READ: Final = f"(SELECT id FROM {TABLE})"  # noqa: S608 - our own name
_FORGET: Final = f"DELETE FROM {TABLE}"  # noqa: S608 - our own name
_RECORD: Final = f"INSERT INTO {TABLE} (one, id) VALUES (1, ?)"  # noqa: S608


def read_incarnation(driver: Driver) -> str:
    """Return this copy's incarnation; empty for a log that never was a copy."""
    if not driver.has_table(TABLE):
        return ""
    row = driver.row(f"SELECT id FROM {TABLE}")  # noqa: S608
    return str(row[0]) if row else ""


def renew(driver: Driver) -> str:
    """Give this copy a new incarnation, in the caller's transaction; return it."""
    incarnation = str(uuid7())
    driver.run(_CREATE)
    driver.run(_FORGET)
    driver.run(_RECORD, (incarnation,))
    return incarnation


def renew_file(connection: sqlite3.Connection) -> None:
    """Give a copied file a new incarnation, in a transaction of its own."""
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_CREATE)
    connection.execute(_FORGET)
    connection.execute(_RECORD, (str(uuid7()),))
    connection.execute("COMMIT")


class KnownLog:
    """The log and the incarnation that a store has opened; each write compares them.

    The comparison is one more column of the statement that reads the head, no statement of its
    own. Nothing is compared before :meth:`note`.
    """

    def __init__(self) -> None:
        self._where = ""
        self._known: tuple[str, str] | None = None
        self._has_table = False
        self._mark: Any = None

    def note(self, driver: Driver, where: str, log_id: str) -> str:
        """Begin to compare with what is there, and return the incarnation.

        ``where`` names the database in messages.
        """
        incarnation = read_incarnation(driver)
        self._has_table = bool(incarnation) or driver.has_table(TABLE)
        self._where, self._known, self._mark = where, (log_id, incarnation), None
        return incarnation

    @property
    def lacks_table(self) -> bool:
        """Whether :meth:`make_table` would make the comparison cheaper."""
        return self._known is not None and not self._has_table

    def make_table(self, write: Callable[[Callable[[Driver], object]], object]) -> None:
        """Make the table of incarnations, without one in it; ``write`` commits what it calls."""
        write(lambda driver: driver.run(_CREATE))
        self._has_table = True

    def column(self, driver: Driver) -> str:
        """Return what to select beside the head, for :meth:`check`."""
        return _READ if self._has_table else driver.table_mark

    def unchanged(self, table_mark: str) -> tuple[str, list[Any]]:
        """Return a condition under which :meth:`check` finds the incarnation known, and its values.

        ``table_mark`` is the driver's. The id of the log is compared beside it.
        """
        if self._known is None:
            return "true", []
        if self._has_table:
            return f"coalesce({_READ}, '') = ?", [self._known[1]]
        return f"{table_mark} IS NOT DISTINCT FROM ?", [self._mark]

    def check(self, driver: Driver, log_id: str, value: Any) -> None:
        """Raise LogReplacedError where this is another log, or another copy.

        ``value`` is that of :meth:`column`. Without the table it changes once there is one, and
        perhaps with others: then the table is looked for.
        """
        known = self._known
        if known is None or (value == self._mark and log_id == known[0] and not self._has_table):
            return
        incarnation = value or "" if self._has_table else read_incarnation(driver)
        if (log_id, incarnation) != known:
            raise LogReplacedError(self._where, *known, log_id, incarnation)
        self._mark = value
