"""Which version of a projection is being computed on PostgreSQL, told to those of older versions.

The session that has the new tables holds an advisory lock, whose second number is the version: it
is gone with the session, however that ends.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text

from projections.tables.checkpoints import own_schema

if TYPE_CHECKING:
    from sqlalchemy import Connection

_TELL: Final = text(
    "SELECT pg_catalog.pg_advisory_lock_shared(pg_catalog.hashtext(:key), :version)"
)
_NEWER: Final = text(
    "SELECT max(l.objid::pg_catalog.int8) FROM pg_catalog.pg_locks l "
    "JOIN pg_catalog.pg_database d ON d.oid = l.database "
    "WHERE d.datname = pg_catalog.current_database() AND l.granted "
    "AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.objid::pg_catalog.int8 > :version "
    "AND l.classid::pg_catalog.int8 = (pg_catalog.hashtext(:key)::pg_catalog.int8 & 4294967295)"
)


def tell_computing(connection: Connection, name: str, version: int) -> None:
    """Tell others, until this session ends, that it computes a version of a projection."""
    connection.execute(_TELL, {"key": _key(connection, name), "version": version})


def newer_computing(connection: Connection, name: str, version: int) -> int | None:
    """Return which newer version of a projection a session computes now; None for none."""
    values = {"key": _key(connection, name), "version": version}
    found: int | None = connection.execute(_NEWER, values).scalar_one()
    return found


def _key(connection: Connection, name: str) -> str:
    return f"eventstore projection {own_schema(connection)} {name}"
