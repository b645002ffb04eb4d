"""A cursor with the API of the module ``sqlite3``, on either database."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

Parameters: TypeAlias = Sequence[Any] | Mapping[str, Any]
"""One value for each ``?``; on SQLite also values by name."""


class SqlCursor(ABC):
    """Executes statements and gives their rows."""

    __slots__ = ()

    arraysize = 1
    """The default of :meth:`fetchmany`."""

    @abstractmethod
    def execute(self, sql: str, parameters: Parameters = (), /) -> Self:
        """Execute one statement, which may give rows."""

    @abstractmethod
    def executemany(self, sql: str, parameters: Iterable[Parameters], /) -> Self:
        """Execute one statement once for each set of parameters."""

    def executescript(self, script: str, /) -> Self:
        """Execute several statements, without parameters, within the transaction."""
        for statement in self._split(script):
            self.execute(statement)
        self._forget()
        return self

    @abstractmethod
    def _split(self, script: str) -> Iterator[str]:
        """Yield the statements of a script."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop the rows of the last statement."""

    def __iter__(self) -> Self:
        return self

    @abstractmethod
    def __next__(self) -> Any: ...

    def fetchone(self) -> Any:
        """Return the next row, ``None`` where there is none."""
        return next(self, None)

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return up to ``size`` (default :attr:`arraysize`) rows."""
        return list(islice(self, self.arraysize if size is None else size))

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return list(self)

    @property
    @abstractmethod
    def description(self) -> Any:
        """The columns of a query, as DB-API has them; ``None`` for other statements."""

    @property
    @abstractmethod
    def rowcount(self) -> int:
        """The number of rows that the last statement changed; -1 for a query."""

    @property
    @abstractmethod
    def lastrowid(self) -> int | None:
        """The number of the row that was inserted last; ``None`` on PostgreSQL."""

    @abstractmethod
    def close(self) -> None:
        """Drop the rows that are left."""
