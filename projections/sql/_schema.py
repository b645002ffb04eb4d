"""The schema of a database: its tables, what makes them, and the ledger of migrations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NamedTuple

from projections.sql._identifiers import (
    CAPTURE,
    LEDGER,
    LEDGER_NAMES,
    OWN_LEDGER,
    UNCAPTURED,
    quote_name,
)
from projections.sql.model import TableT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_LEDGER_COLUMNS: Final = (
    "(name TEXT NOT NULL PRIMARY KEY, checksum TEXT NOT NULL, applied_at TEXT NOT NULL)"
)
_LEDGER_FIELDS: Final = frozenset({"name", "checksum", "applied_at"})


class KeptRows(NamedTuple):
    """The rows of a table, in a temporary one, while it is computed again."""

    table: str
    place: str
    columns: tuple[str, ...]


def _list(columns: Iterable[str]) -> str:
    return ", ".join(map(quote_name, columns))


class Schema(ABC, Generic[TableT]):
    """Reads and changes the users' schema on one connection, in the caller's transaction."""

    placeholder: ClassVar[str]
    """The driver's mark for a parameter."""
    insert_clause: ClassVar[str] = ""
    """What stands between an INSERT's columns and its query, so that it may give all of them."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw
        self.own: frozenset[str] = frozenset()
        """Reserved names that the program's objects may have; set by :meth:`set_own`."""

    def set_own(self, names: Iterable[str]) -> None:
        """Leave these reserved names to the program, and the ledger's where that has another."""
        self.own = frozenset(names) | (LEDGER_NAMES if self._ledger_name() != LEDGER else set())

    @abstractmethod
    def list_tables(self) -> list[str]:
        """Return the tables that belong to users: neither the log's nor this package's."""

    @abstractmethod
    def list_later_reserved(self) -> frozenset[str]:
        """Return the names of ``LATER_RESERVED`` that objects of any kind have."""

    @abstractmethod
    def list_own_reserved(self, tables: Sequence[str]) -> frozenset[str]:
        """Return those of them that views, or these tables and their indexes, have."""

    @abstractmethod
    def read_table(self, name: str) -> TableT:
        """Describe a table; its key is empty where it has no primary key."""

    def find_fault(self, description: TableT) -> str | None:
        """Return the reason why a table cannot be captured, ``None`` where it can."""
        if description.table.key:
            return None
        name = description.table.name
        return f"table {name!r} has no primary key, so that its rows cannot be told apart: add one"

    @abstractmethod
    def drop_tables(self, names: Sequence[str]) -> None:
        """Drop these tables, the ledger, and all other objects that migrations have made."""

    @abstractmethod
    def read_sequences(self, names: Sequence[str]) -> Mapping[Any, Any]:
        """Return the state of each sequence of these tables."""

    @abstractmethod
    def restore_sequences(self, known: Mapping[Any, Any]) -> None:
        """Continue sequences where they were, so that no number is given out twice.

        A number that was given out in a transaction that rolled back leaves no trace in the log.
        """

    @abstractmethod
    def has_table(self, name: str) -> bool:
        """Return True if there is a table of that name."""

    def read_uncaptured(self) -> frozenset[str]:
        """Return the tables whose rows migrations have declared not to be recorded."""
        if not self.has_table(UNCAPTURED):
            return frozenset()
        rows = self._raw.execute(f"SELECT name FROM {self.schema_name()}.{UNCAPTURED}").fetchall()
        return frozenset(row[0] for row in rows)

    def write_uncaptured(self, names: Iterable[str]) -> None:
        """Replace what :meth:`read_uncaptured` returns."""
        names, table = sorted(names), f"{self.schema_name()}.{UNCAPTURED}"
        if names:
            self._raw.execute(f"CREATE TABLE IF NOT EXISTS {table} (name TEXT PRIMARY KEY)")
        elif not self.has_table(UNCAPTURED):
            return
        self._raw.execute(f"DELETE FROM {table}")
        for name in names:
            self._raw.execute(f"INSERT INTO {table} (name) VALUES ({self.placeholder})", (name,))

    def set_aside(self) -> list[KeptRows]:
        """Copy the rows that are not recorded, before a rebuild drops their tables."""
        kept = []
        for number, name in enumerate(sorted(self.read_uncaptured())):
            columns = self.read_table(name).table.columns
            one = KeptRows(name, f"{CAPTURE}_kept_{number}", columns)
            query = f"SELECT {_list(columns)} FROM {self.schema_name()}.{quote_name(name)}"
            self._execute(f"CREATE TEMPORARY TABLE {one.place} AS {query}")
            kept.append(one)
        return kept

    def put_back(self, kept: Iterable[KeptRows]) -> None:
        """Put these rows into their tables, as far as these have their columns still."""
        tables = set(self.list_tables())
        for one in kept:
            if one.table in tables:
                there = self.read_table(one.table).table.columns
                columns = _list(column for column in one.columns if column in there)
                table = f"{self.schema_name()}.{quote_name(one.table)}"
                self._execute(
                    f"INSERT INTO {table} ({columns}) {self.insert_clause} "
                    f"SELECT {columns} FROM {one.place}"
                )
            self._execute(f"DROP TABLE {one.place}")

    @abstractmethod
    def _execute(self, statement: str) -> None:
        """Execute a statement without parameters."""

    def _ledger_name(self) -> str:
        return OWN_LEDGER if self.has_table(OWN_LEDGER) else LEDGER

    def has_ledger(self) -> bool:
        """Return True once a migration has been applied."""
        return self.has_table(self._ledger_name())

    @abstractmethod
    def schema_name(self) -> str:
        """Return the schema that all of this is in, as SQL writes it."""

    def _ledger(self) -> str:
        return f"{self.schema_name()}.{self._ledger_name()}"

    def read_ledger(self) -> dict[str, str]:
        """Return the checksum of each applied migration, by name."""
        if not self.has_ledger():
            return {}
        rows = self._raw.execute(f"SELECT name, checksum FROM {self._ledger()}").fetchall()
        return {row[0]: row[1] for row in rows}

    def write_ledger(self, name: str, checksum: str, applied_at: str) -> None:
        """Record that a migration was applied; replace what was recorded of it."""
        mark = self.placeholder
        self.make_ledger()
        ledger = self._ledger()
        self._raw.execute(f"DELETE FROM {ledger} WHERE name = {mark}", (name,))
        self._raw.execute(
            f"INSERT INTO {ledger} (name, checksum, applied_at) VALUES ({mark}, {mark}, {mark})",
            (name, checksum, applied_at),
        )

    def make_ledger(self) -> None:
        """Make the ledger where there is none."""
        self._raw.execute(f"CREATE TABLE IF NOT EXISTS {self._ledger()} {_LEDGER_COLUMNS}")

    def move_ledger(self) -> None:
        """Give the ledger its other name, because the program makes a table of that of now."""
        if LEDGER in self.own:
            return
        before, after = self._ledger(), f"{self.schema_name()}.{OWN_LEDGER}"
        self.make_ledger()
        self._raw.execute(f"CREATE TABLE {after} {_LEDGER_COLUMNS}")
        self._raw.execute(f"INSERT INTO {after} SELECT name, checksum, applied_at FROM {before}")
        self._raw.execute(f"DROP TABLE {before}")
        self.own |= LEDGER_NAMES

    def keeps_ledger(self) -> bool:
        """Return True if the program's table :data:`LEDGER` has no column that the ledger lacks."""
        cursor = self._raw.execute(f"SELECT * FROM {self.schema_name()}.{LEDGER} LIMIT 0")
        return {column[0].lower() for column in cursor.description} <= _LEDGER_FIELDS
