"""Rows and errors of PostgreSQL, in the form of the module ``sqlite3``."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, overload

import psycopg

if TYPE_CHECKING:
    from collections.abc import Iterator

# psycopg's errors with those of sqlite3 for the same case; subclasses first.
_ERRORS: Final[list[tuple[type[psycopg.Error], type[sqlite3.Error]]]] = [
    (psycopg.errors.RaiseException, sqlite3.IntegrityError),
    (psycopg.IntegrityError, sqlite3.IntegrityError),
    (psycopg.DataError, sqlite3.DataError),
    (psycopg.NotSupportedError, sqlite3.NotSupportedError),
    (psycopg.InterfaceError, sqlite3.InterfaceError),
    (psycopg.InternalError, sqlite3.InternalError),
    (psycopg.Error, sqlite3.OperationalError),
]


def to_sqlite_error(error: psycopg.Error) -> sqlite3.Error:
    """Return the sqlite3 error for a psycopg error, with PostgreSQL's message."""
    kind = next(ours for theirs, ours in _ERRORS if isinstance(error, theirs))
    return kind(" ".join(str(error).split()))


@contextmanager
def translated_errors(*but: type[psycopg.Error]) -> Iterator[None]:
    """Turn psycopg's errors into sqlite3's, ``but`` for some kinds of them."""
    try:
        yield
    except but:
        raise
    except psycopg.Error as error:
        raise to_sqlite_error(error) from error


def all_rows(cursor: Any) -> list[list[Any]]:
    """Return the rows of each query among several statements that were sent as one."""
    found = [cursor.fetchall()] if cursor.description else []
    while cursor.nextset():
        if cursor.description:
            found.append(cursor.fetchall())
    return found


class NamedRow(Sequence[Any]):
    """A row with values by index and by name, like :class:`sqlite3.Row`."""

    __slots__ = ("_names", "_values")

    def __init__(self, names: Sequence[str], values: Sequence[Any]) -> None:
        self._names = names
        self._values = tuple(values)

    def keys(self) -> list[str]:
        """Return the columns' names."""
        return list(self._names)

    @overload
    def __getitem__(self, key: int | str) -> Any: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[Any, ...]: ...
    def __getitem__(self, key: int | str | slice) -> Any:
        if not isinstance(key, str):
            return self._values[key]
        for name, value in zip(self._names, self._values, strict=True):
            if name.lower() == key.lower():
                return value
        raise IndexError(f"no column is named {key!r}")

    def __len__(self) -> int:
        return len(self._values)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, NamedRow):
            return NotImplemented
        return (self.keys(), self._values) == (other.keys(), other._values)

    def __hash__(self) -> int:
        return hash((tuple(self._names), self._values))

    def __repr__(self) -> str:
        return f"Row({dict(zip(self._names, self._values, strict=True))!r})"
