"""INSERT … ON CONFLICT, which SQLAlchemy spells once for each database."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sqlalchemy import Connection, CursorResult, Table

_INSERTS: Final[Mapping[str, Any]] = {"sqlite": sqlite.insert, "postgresql": postgresql.insert}


class Upsert:
    """Inserts rows into one table; a row whose key is known updates the row that is there.

    ``key`` names the columns of a unique index, ``update`` the columns that a known row takes
    from the new one: by default all others. Make it once per module: building a statement
    costs several times as much as executing it.
    """

    def __init__(
        self,
        table: Table,
        key: Sequence[str],
        *,
        update: Sequence[str] | None = None,
        where: Callable[[Any], Any] | None = None,
    ) -> None:
        names = [c.name for c in table.columns if c.name not in key] if update is None else update
        self._statements: dict[str, Any] = {}
        for dialect, insert in _INSERTS.items():
            statement = insert(table)
            self._statements[dialect] = statement.on_conflict_do_update(
                index_elements=list(key),
                set_={name: statement.excluded[name] for name in names},
                where=None if where is None else where(statement.excluded),
            )

    def execute(
        self, connection: Connection, rows: Mapping[str, Any] | Sequence[Mapping[str, Any]]
    ) -> None:
        """Store one row or several, in order; of several with one key the last one stays."""
        connection.execute(self._statements[connection.dialect.name], rows)


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
