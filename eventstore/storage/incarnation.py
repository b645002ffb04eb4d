"""Which copy of a log this is: what two copies of one history are told apart by.

A log that was only ever written has none. A backup, a restored log and an imported one get a new
one each, in a table of its own that earlier versions do not know and do not mind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uuid_utils import uuid7

if TYPE_CHECKING:
    import sqlite3

    from eventstore.storage.driver import Driver

TABLE: Final = "log_incarnation"

_CREATE: Final = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} (one SMALLINT NOT NULL PRIMARY KEY, "
    "id VARCHAR NOT NULL, CHECK (one = 1))"
)
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
