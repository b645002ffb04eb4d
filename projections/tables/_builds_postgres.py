"""A new version of a projection on PostgreSQL, in a schema of its own.

A transaction that builds has that schema first in its search path: a handler's SQL finds the new
tables by their declared names. The swap drops the old tables and moves the new ones, with indexes,
constraints and sequences, into the log's schema. It needs the right to make schemas.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from projections.tables._builds import Build
from projections.tables.checkpoints import own_schema_only

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from projections.tables._builds import Built
    from projections.tables.ledger import Ledger

_NO_LOCK: Final = "55P03"
"""The server's code of an error for a lock that was not to be had in time."""

_MAY_BUILD: Final = text(
    "SELECT coalesce((SELECT nspowner = (SELECT oid FROM pg_catalog.pg_roles "
    "WHERE rolname = current_user) FROM pg_catalog.pg_namespace WHERE nspname = :schema), "
    "pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE'))"
)
_PRIVILEGES: Final = text(
    "SELECT CASE d.defaclobjtype WHEN 'r' THEN 'TABLES' ELSE 'SEQUENCES' END AS kind, "
    "a.privilege_type AS privilege, a.is_grantable AS grantable, "
    "CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident("
    "pg_catalog.pg_get_userbyid(a.grantee)) END AS grantee "
    "FROM pg_catalog.pg_default_acl d, pg_catalog.aclexplode(d.defaclacl) a "
    "WHERE d.defaclobjtype IN ('r', 'S') AND d.defaclnamespace = "
    "(SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = :own) "
    "AND pg_catalog.pg_get_userbyid(d.defaclrole) = current_user"
)
_COLUMNS: Final = text(
    "SELECT a.attname FROM pg_catalog.pg_attribute a "
    "JOIN pg_catalog.pg_class c ON c.oid = a.attrelid "
    "JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE n.nspname = :schema AND c.relname = :table AND c.relkind IN ('r', 'p') "
    "AND a.attnum > 0 AND NOT a.attisdropped"
)
_HOLDERS: Final = text(
    "SELECT DISTINCT pid FROM pg_catalog.pg_locks WHERE granted AND locktype = 'relation' "
    "AND pid <> pg_catalog.pg_backend_pid() AND relation = "
    "ANY (CAST(:tables AS pg_catalog.text[])::pg_catalog.regclass[]::pg_catalog.oid[]) ORDER BY pid"
)
"""Finds the server's processes that have a lock on tables."""

_UNMOVABLE: Final = text(
    "WITH here AS (SELECT oid FROM pg_catalog.pg_namespace WHERE nspname = :schema) "
    "SELECT 1 FROM pg_catalog.pg_proc WHERE pronamespace IN (TABLE here) UNION ALL "
    "SELECT 1 FROM pg_catalog.pg_type WHERE typnamespace IN (TABLE here) "
    "AND typtype IN ('d', 'e', 'r') UNION ALL "
    "SELECT 1 FROM pg_catalog.pg_class c WHERE relnamespace IN (TABLE here) "
    "AND (relkind IN ('v', 'm', 'c', 'f') OR relkind = 'S' AND NOT EXISTS (SELECT 1 "
    "FROM pg_catalog.pg_depend WHERE classid = 'pg_catalog.pg_class'::pg_catalog.regclass "
    "AND objid = c.oid AND deptype IN ('a', 'i')))"
)
"""Finds what would stay behind when the tables move: functions, types, sequences of no table."""


def lock_tables(
    connection: Connection, names: Sequence[str], seconds: float
) -> Sequence[int] | None:
    """Lock tables, by their quoted names, until the transaction ends; give up after so long.

    Returns the server's processes that hold them, ``None`` where they are locked.
    """
    run = connection.exec_driver_sql
    limit = run("SHOW lock_timeout").scalar_one()
    run("SAVEPOINT projection_lock")
    run(f"SET LOCAL lock_timeout = {max(1, int(1000 * seconds))}")
    try:
        run(f"LOCK TABLE {', '.join(names)} IN ACCESS EXCLUSIVE MODE")
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", "") != _NO_LOCK:
            raise
        run("ROLLBACK TO SAVEPOINT projection_lock")
        return list(connection.execute(_HOLDERS, {"tables": list(names)}).scalars())
    run(f"SET LOCAL lock_timeout = '{limit}'")
    return None


class PostgresBuild(Build):
    """See :class:`projections.tables._builds.Build`."""

    def __init__(self, connection: Connection, projection: Built, ledger: Ledger) -> None:
        super().__init__(connection, projection, ledger)
        self._path = ""

    @property
    def _schema(self) -> str:
        return self._name(self._projection.version)

    def _is_movable(self) -> bool:
        """Whether this role may make the schema, or has made it."""
        found = self._connection.execute(_MAY_BUILD, {"schema": self._schema})
        return bool(found.scalar_one())

    def _create(self) -> bool:
        connection, schema = self._connection, self._schema
        self._run(f"CREATE SCHEMA {schema}")
        for row in connection.execute(_PRIVILEGES, {"own": self._own}).all():
            # The tables move with the rights that they have here.
            self._run(
                f"ALTER DEFAULT PRIVILEGES IN SCHEMA {schema} GRANT {row.privilege} ON {row.kind} "
                f"TO {row.grantee}{' WITH GRANT OPTION' if row.grantable else ''}"
            )
        self._enter()
        with own_schema_only(connection, schema):
            self._projection.metadata.create_all(connection, checkfirst=False)
        self._leave()
        if connection.execute(_UNMOVABLE, {"schema": schema}).first() is None:
            return True
        self._remove(self._projection.version)
        return False

    def _columns(self, table: str) -> tuple[str, ...]:
        found = self._connection.execute(_COLUMNS, {"schema": self._schema, "table": table})
        return tuple(found.scalars())

    def _enter(self) -> None:
        self._path = str(self._connection.exec_driver_sql("SHOW search_path").scalar_one())
        self._run(f"SET LOCAL search_path = {self._schema}, {self._path}")

    def _leave(self) -> None:
        self._run(f"SET LOCAL search_path = {self._path}")

    def _lock_old(self, seconds: float) -> bool:
        """Lock the old tables; give up after so long, because all who append wait meanwhile."""
        quote = self._quote
        names = [f"{quote(self._own)}.{quote(name)}" for name in self._ledger.present()]
        if not names:
            return True
        holders = lock_tables(self._connection, names, seconds)
        self.holders = holders or ()
        return holders is None

    def _replace(self) -> None:
        self._ledger.drop()
        for table in self._tables:
            name = f"{self._schema}.{self._quote(table.name)}"
            self._run(f"ALTER TABLE {name} SET SCHEMA {self._quote(self._own)}")
        self._run(f"DROP SCHEMA {self._schema}")

    def _drop_old(self) -> None:
        self._ledger.drop()

    def _remove(self, version: int) -> None:
        self._run(f"DROP SCHEMA IF EXISTS {self._name(version)} CASCADE")

    def _run(self, sql: str) -> None:
        self._connection.exec_driver_sql(sql)
