"""Statements that are compiled once, and then go to the driver as text.

SQLAlchemy looks a statement up in its cache for each execution, and walks it for the key: that
takes longer than most of the statements themselves. What every call asks is compiled here, once for
each database, and a call only gives its values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.elements import CompilerElement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Connection, Dialect

_DIALECTS: Final[Mapping[str, Dialect]] = {
    "sqlite": sqlite.dialect(),
    "postgresql": PGDialect_psycopg(paramstyle="qmark"),  # type: ignore[no-untyped-call]
}


class _Compiled(NamedTuple):
    sql: str
    names: tuple[str, ...]
    fixed: dict[str, Any]

    def values(self, given: Mapping[str, Any]) -> list[Any]:
        """Return the values of the marks, in their order."""
        fixed = self.fixed
        return [given[name] if name in given else fixed[name] for name in self.names]


class Statement:
    """A statement of SQLAlchemy's, or one for each database by its name.

    Its parameters are named by ``bindparam`` or, in an INSERT, by its columns. They hold texts and
    numbers only, no lists: no type converts them. Names of tables are looked up as in any other
    statement, so that the tables of a build are found too.
    """

    def __init__(self, clause: CompilerElement | Mapping[str, CompilerElement]) -> None:
        self._clause = clause
        self._known: dict[str, _Compiled] = {}

    def ask(self, dialect: str, **values: Any) -> tuple[str, list[Any]]:
        """Return SQL with ``?`` parameters and their values, for a store's own reads."""
        compiled = self._known.get(dialect) or self._compile(dialect)
        return compiled.sql, compiled.values(values)

    def rows(self, connection: Connection, **values: Any) -> list[Any]:
        """Return all rows, as plain tuples."""
        found: list[Any] = self._execute(connection, values).fetchall()
        return found

    def row(self, connection: Connection, **values: Any) -> Any:
        """Return the first row, or ``None``."""
        return self._execute(connection, values).fetchone()

    def run(self, connection: Connection, **values: Any) -> int:
        """Execute it; return how many rows it touched."""
        count: int = self._execute(connection, values).rowcount
        return count

    def run_each(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Execute it for each of several rows."""
        name = connection.dialect.name
        compiled = self._known.get(name) or self._compile(name)
        cursor = _raw(connection).cursor()
        cursor.executemany(self._text(compiled, name), [compiled.values(row) for row in rows])

    def _execute(self, connection: Connection, values: Mapping[str, Any]) -> Any:
        name = connection.dialect.name
        compiled = self._known.get(name) or self._compile(name)
        return _raw(connection).execute(self._text(compiled, name), compiled.values(values))

    @staticmethod
    def _text(compiled: _Compiled, dialect: str) -> str:
        return compiled.sql if dialect == "sqlite" else compiled.sql.replace("?", "%s")

    def _compile(self, dialect: str) -> _Compiled:
        clause = self._clause
        if not isinstance(clause, CompilerElement):
            clause = clause[dialect]
        compiled: Any = clause.compile(dialect=_DIALECTS[dialect])
        found = _Compiled(compiled.string, tuple(compiled.positiontup or ()), dict(compiled.params))
        self._known[dialect] = found
        return found


def _raw(connection: Connection) -> Any:
    """Return the driver's connection."""
    return connection.connection.driver_connection
