"""Statements that are compiled once, and then go to the driver as text.

SQLAlchemy looks a statement up in its cache for each execution, and walks it for the key: that
takes longer than most of the statements themselves. What every call asks is compiled here, once for
each database, and a call only gives its values.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg
from sqlalchemy.sql.elements import CompilerElement

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Dialect

_DIALECTS: Final[Mapping[str, Dialect]] = {
    "sqlite": sqlite.dialect(),
    "postgresql": PGDialect_psycopg(paramstyle="qmark"),  # type: ignore[no-untyped-call]
}


MOST_STATED: Final = 16
"""Events of a commit whose statements are sent one by one; more are applied many at once."""


MOST_WRITTEN: Final = 1_000
"""Largest limit that is part of a statement's text."""

_CUT: Final = re.compile(r"\s+LIMIT \?::BIGINT OFFSET \?::BIGINT$")


class _Compiled(NamedTuple):
    sql: str
    names: tuple[str, ...]
    fixed: dict[str, Any]
    uncut: str
    """The SQL without LIMIT and OFFSET, on a server; empty where it has none.

    For a limit that is not known yet a server plans a tenth of all rows, and for one that is
    known anew at each call. So a small one is written into the text.
    """

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
        """Return SQL with ``?`` parameters and their values."""
        compiled = self._known.get(dialect) or self._compile(dialect)
        found = compiled.values(values)
        if compiled.uncut and not found[-1] and found[-2] <= MOST_WRITTEN:
            return f"{compiled.uncut} LIMIT {found[-2]:d}", found[:-2]
        return compiled.sql, found

    def _compile(self, dialect: str) -> _Compiled:
        clause = self._clause
        if not isinstance(clause, CompilerElement):
            clause = clause[dialect]
        compiled: Any = clause.compile(dialect=_DIALECTS[dialect])
        sql, names = compiled.string, tuple(compiled.positiontup or ())
        cut = _CUT.search(sql) if dialect == "postgresql" else None
        uncut = sql[: cut.start()] if cut else ""
        found = _Compiled(sql, names, dict(compiled.params), uncut)
        self._known[dialect] = found
        return found


def run_queries(connection: Connection, queries: Iterable[tuple[str, Sequence[Any]]]) -> None:
    """Execute SQL with ``?`` parameters, in order."""
    raw, dialect = _raw(connection), connection.dialect.name
    for sql, values in queries:
        raw.execute(_marked(sql, dialect), values)


@lru_cache(1_024)
def _marked(sql: str, dialect: str) -> str:
    """Return SQL with the driver's own marks."""
    return sql if dialect == "sqlite" else sql.replace("?", "%s")


def _raw(connection: Connection) -> Any:
    """Return the driver's connection."""
    return connection.connection.driver_connection
