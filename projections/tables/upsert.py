"""INSERT … ON CONFLICT, which SQLAlchemy spells once for each database."""

from __future__ import annotations

from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import func
from sqlalchemy.dialects import postgresql, sqlite

from eventstore.storage.driver import rows_together

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Table

    from eventstore.storage.driver import Query

_INSERTS: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Upsert:
    """Inserts rows into one table; a row whose key is known updates the row that is there.

    ``key`` names the columns of a unique index, ``update`` the columns that a known row takes
    from the new one: by default all others. With ``add`` it adds the new value to the one that is
    there, where NULL counts as 0. Make it once per module: building a statement costs several
    times as much as executing it.
    """

    def __init__(
        self,
        table: Table,
        key: Sequence[str],
        *,
        update: Sequence[str] | None = None,
        where: Callable[[Any], Any] | None = None,
        add: bool = False,
    ) -> None:
        names = [c.name for c in table.columns if c.name not in key] if update is None else update
        self.statements: dict[str, Any] = {}
        """The statement for each database, by its name."""
        for dialect, insert in _INSERTS.items():
            statement = insert(table)
            self.statements[dialect] = statement.on_conflict_do_update(
                index_elements=list(key),
                set_={name: _new_value(table, statement, name, add=add) for name in names},
                where=None if where is None else where(statement.excluded),
            )
        self._key = list(key)
        self._columns = [c.name for c in table.columns]
        quote = sqlite.dialect().identifier_preparer.quote
        into = ", ".join(map(quote, self._columns))
        self._insert = f"INSERT INTO {quote(table.name)} ({into}) VALUES "  # noqa: S608 - our names
        taken = ", ".join(f"{quote(name)} = excluded.{quote(name)}" for name in names)
        self._known = f" ON CONFLICT ({', '.join(map(quote, key))}) DO UPDATE SET {taken}"
        self._plain = where is None and not add
        self._values = itemgetter(*self._columns)

    def queries(self, rows: Sequence[Mapping[str, Any]]) -> list[Query]:
        """Return what :meth:`execute` does as SQL for the driver, many rows to a statement."""
        self._check_plain()
        # A statement must not meet a key twice.
        last = {tuple(row[name] for name in self._key): row for row in rows}
        values = [[row[name] for name in self._columns] for row in last.values()]
        if any("\0" in value for row in values for value in row if isinstance(value, str)):
            raise ValueError("a text has a NUL character, which no projection may hold: escape it")
        return list(rows_together(self._insert, values, self._known))

    def execute(
        self, connection: Connection, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> None:
        """Store one row or several, in order; of several with one key the last one stays."""
        connection.execute(self.statements[connection.dialect.name], rows)

    def execute_plain(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Do what :meth:`execute` does with several rows, in less than half of its time.

        Each row has every column, and values that the driver takes as they are.
        """
        self._check_plain()
        mark = "?" if connection.dialect.name == "sqlite" else "%s"
        marks = ", ".join([mark] * len(self._columns))
        sql = f"{self._insert}({marks}){self._known}"
        connection.exec_driver_sql(sql, list(map(self._values, rows)))

    def _check_plain(self) -> None:
        if not self._plain:
            raise NotImplementedError("an upsert with a condition is SQLAlchemy's")


def _new_value(table: Table, statement: Any, name: str, *, add: bool) -> Any:
    new = statement.excluded[name]
    return func.coalesce(table.c[name], 0) + new if add else new


def upsert(
    connection: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]
) -> None:
    """Store ``values`` in the row of a table that has this key; make the row where there is none.

    ``key`` names the columns of the primary key, or of a unique index. Columns that neither
    names keep what they have, and get their defaults in a new row.
    """
    _made(table, tuple(key), tuple(values), add=False).execute(connection, {**key, **values})


def increment(
    connection: Connection, table: Table, key: Mapping[str, Any], amounts: Mapping[str, Any]
) -> None:
    """Add to numbers in the row of a table that has this key; a new row begins with them.

    An amount below 0 is subtracted. Otherwise as :func:`upsert`.
    """
    _made(table, tuple(key), tuple(amounts), add=True).execute(connection, {**key, **amounts})


@lru_cache(maxsize=256)
def _made(table: Table, key: tuple[str, ...], names: tuple[str, ...], *, add: bool) -> Upsert:
    # Without values a row that is there takes its own key, and so stays as it is.
    return Upsert(table, key, update=names or key, add=add and bool(names))


class InsertIfAbsent:
    """Inserts rows into one table; a row whose key is known changes nothing."""

    def __init__(self, table: Table, key: Sequence[str], *, returning: Any) -> None:
        self._statements = {
            dialect: insert(table)
            .on_conflict_do_nothing(index_elements=list(key))
            .returning(returning)
            for dialect, insert in _INSERTS.items()
        }

    def execute(
        self, connection: Connection, rows: Sequence[Mapping[str, Any]]
    ) -> CursorResult[Any]:
        """Store rows; the result holds what ``returning`` asks of the rows that were inserted."""
        return connection.execute(self._statements[connection.dialect.name], rows)
