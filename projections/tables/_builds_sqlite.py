"""A new version of a projection in a SQLite file, under hidden names.

Each transaction that builds gives the new tables their declared names, and takes them away again
before it commits: readers never see it. The swap does not take them away. SQLite renames a table
with its rows, indexes and foreign keys in about a millisecond. It renames no index: one whose name
the old version has gets the version behind its own.

The old tables get hidden names as well, and are emptied afterwards, some rows at a time: dropping
a table takes as long as it has pages.
"""

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.elements import quoted_name

from projections.tables._builds import Build
from projections.tables.checkpoints import own_schema_only
from projections.tables.ledger import read_columns

if TYPE_CHECKING:
    from collections.abc import Iterable

DROPPED: Final = "projection_dropped_"
"""Begins the names of tables that were replaced, until they are empty."""

_BEGINNING: Final = text(
    "SELECT name FROM main.sqlite_master WHERE type = 'table' "
    "AND substr(name, 1, length(:beginning)) = :beginning ORDER BY rowid DESC"
)
_NAMED: Final = text("SELECT 1 FROM main.sqlite_master WHERE lower(name) = lower(:name)")
_REFERRING: Final = text(
    'SELECT m.name, f."table" FROM main.sqlite_master m '
    "JOIN pragma_foreign_key_list(m.name, 'main') f WHERE m.type = 'table'"
)


class SqliteBuild(Build):
    """See :class:`projections.tables._builds.Build`."""

    def leftovers(self) -> bool:
        """Whether old tables are left, or builds that this version makes void."""
        return bool(self._dropped()) or super().leftovers()

    def clear(self, rows: int) -> bool:
        """Take rows out of a table that was replaced, and drop it once it is empty."""
        super().clear(rows)
        dropped = self._dropped()
        if dropped and self._are_related(dropped[0], dropped):
            self._run("PRAGMA defer_foreign_keys = ON")
            while dropped:
                self._drop(dropped.pop(0))
        elif dropped and self._empty(dropped[0], rows):
            self._drop(dropped.pop(0))
        return bool(dropped)

    def recreate(self) -> None:
        """Put the new tables away and create them again, within :meth:`inside`."""
        self._put_away(table.name for table in self._tables)
        self._create_tables()

    def _is_movable(self) -> bool:
        """Whether no other program's table refers to the projection's, and no DDL listens.

        What a listener makes, such as a trigger, can be made for the declared tables only.
        """
        if any(
            list(one.dispatch.after_create) for one in (self._projection.metadata, *self._tables)
        ):
            return False
        own = {name.lower() for name in (*self._ledger.owned(), *(t.name for t in self._tables))}
        return not any(
            parent.lower() in own and child.lower() not in own
            for child, parent in self._connection.execute(_REFERRING)
        )

    def _create(self) -> bool:
        self._run("SAVEPOINT projection_build")
        try:
            self._rename((name, self._aside(name)) for name in self._present())
            self._create_tables()
            self._leave()
        except DBAPIError:
            # Such as of a CHECK that names its table: a renaming leaves it as it is.
            self._run("ROLLBACK TO SAVEPOINT projection_build")
            return False
        finally:
            self._run("RELEASE SAVEPOINT projection_build")
        return True

    def _create_tables(self) -> None:
        copies = MetaData(naming_convention=self._projection.metadata.naming_convention)
        for table in self._tables:
            for index in table.to_metadata(copies).indexes:
                index.name = quoted_name(self._free_name(str(index.name)), quote=None)
        with own_schema_only(self._connection, self._own):
            copies.create_all(self._connection, checkfirst=False)

    def _free_name(self, name: str) -> str:
        ending = f"_{self._projection.version}"
        tries = (name, name + ending, *(f"{name}{ending}_{number}" for number in range(2, 100)))
        return next(
            one for one in tries if not self._connection.execute(_NAMED, {"name": one}).first()
        )

    def _columns(self, table: str) -> tuple[str, ...]:
        return read_columns(self._connection, self._hidden(table)).names

    def _enter(self) -> None:
        self._rename((name, self._aside(name)) for name in self._present())
        self._rename((self._hidden(table.name), table.name) for table in self._tables)

    def _leave(self) -> None:
        self._rename((table.name, self._hidden(table.name)) for table in self._tables)
        beginning = self._aside("")
        self._rename((name, name.removeprefix(beginning)) for name in self._named(beginning))

    def _lock_old(self, seconds: float) -> bool:  # noqa: ARG002
        return True

    def _replace(self) -> None:
        self._put_away(self._ledger.present())
        self._rename((self._hidden(table.name), table.name) for table in self._tables)

    def _drop_old(self) -> None:
        if self._is_movable():
            self._put_away(self._ledger.present())
        else:
            self._ledger.drop()

    def _remove(self, version: int) -> None:
        self._put_away(self._named(f"{self._name(version)}_"))

    def _put_away(self, names: Iterable[str]) -> None:
        free = (f"{self._dropped_name}{n}" for n in count())
        taken = set(self._dropped())
        self._rename((name, next(one for one in free if one not in taken)) for name in names)

    def _present(self) -> list[str]:
        """Return the declared names that old tables have now."""
        declared = {table.name for table in self._tables}
        return [name for name in self._ledger.present() if name in declared]

    def _hidden(self, table: str) -> str:
        return f"{self._name(self._projection.version)}_{table}"

    def _aside(self, table: str) -> str:
        return f"{self._name(0)}_{table}"

    @property
    def _dropped_name(self) -> str:
        return f"{DROPPED}{self._digest}_"

    def _dropped(self) -> list[str]:
        """Return the tables that were put away, those that refer to others first."""
        return self._named(self._dropped_name)

    def _named(self, beginning: str) -> list[str]:
        return list(self._connection.execute(_BEGINNING, {"beginning": beginning}).scalars())

    def _rename(self, pairs: Iterable[tuple[str, str]]) -> None:
        # Views and triggers go on naming what they name, and foreign keys follow the table.
        self._run("PRAGMA legacy_alter_table = ON")
        try:
            for old, new in pairs:
                self._run(f"ALTER TABLE main.{self._quote(old)} RENAME TO {self._quote(new)}")
        finally:
            self._run("PRAGMA legacy_alter_table = OFF")

    def _are_related(self, table: str, tables: list[str]) -> bool:
        """Whether rows of a table cannot be taken out a few at a time: others refer to them."""
        found = self._connection.execute(_REFERRING)
        return any(parent == table and child in tables for child, parent in found)

    def _empty(self, table: str, rows: int) -> bool:
        """Take out so many rows; return whether the table can be dropped."""
        name = f"main.{self._quote(table)}"
        some = f"SELECT rowid FROM {name} LIMIT {rows}"  # noqa: S608 - quoted
        self._run("SAVEPOINT projection_rows")
        try:
            found = self._connection.exec_driver_sql(
                f"DELETE FROM {name} WHERE rowid IN ({some})"  # noqa: S608
            )
            done = found.rowcount < rows
        except DBAPIError:
            done = True  # It has no rowid.
            self._run("ROLLBACK TO SAVEPOINT projection_rows")
        self._run("RELEASE SAVEPOINT projection_rows")
        return done

    def _drop(self, table: str) -> None:
        self._run(f"DROP TABLE main.{self._quote(table)}")

    def _run(self, sql: str) -> None:
        self._connection.exec_driver_sql(sql)
