"""Which tables each projection has made: it drops and changes these alone.

The ledger ``projection_tables`` is beside the checkpoints. It names each table's owner, the
version that made it, and its columns as the database described them then. Programs of release
0.1.0 know no ledger: where one of them has made the tables of a version, this program enters
those that the projection declares. A row without a table's name says for which version the
ledger was kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from sqlalchemy import Integer, MetaData, String, Table, delete, insert, select, text

from eventstore.errors import ProjectionTableError
from projections.tables.checkpoints import own_schema_only
from projections.tables.columns import ByteOrder, keys, required

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

_tables: Final = MetaData()

ledger_table: Final = Table(
    "projection_tables",
    _tables,
    *keys(ByteOrder, "projection", "table_name"),
    *required(Integer, "version"),
    *required(String, "columns"),
)

_COLUMNS: Final = {
    "sqlite": "SELECT name, type, \"notnull\" FROM pragma_table_info(:table, 'main') ORDER BY cid",
    "postgresql": "SELECT attname, format_type(atttypid, atttypmod), attnotnull "
    "FROM pg_catalog.pg_attribute WHERE attrelid = to_regclass("
    "quote_ident(current_schema()) || '.' || quote_ident(:table)) "
    "AND attnum > 0 AND NOT attisdropped ORDER BY attnum",
}

_TAKEN: Final = {
    "sqlite": "SELECT 1 FROM main.sqlite_master WHERE lower(name) = lower(:table) "
    "AND type <> 'trigger'",
    "postgresql": "SELECT 1 FROM pg_catalog.pg_class WHERE relname = :table "
    "AND relnamespace = to_regnamespace(quote_ident(current_schema())) UNION ALL "
    "SELECT 1 FROM pg_catalog.pg_type WHERE typname = :table "
    "AND typnamespace = to_regnamespace(quote_ident(current_schema()))",
}
"""Finds what has a table's name, of any kind: a table, a view, an index, a sequence, a type."""

_KEPT: Final = ""
"""Stands for a table's name in the row that says for which version the ledger was kept."""


class Columns(NamedTuple):
    """A table's columns as the database describes them; without any there is no such table."""

    names: tuple[str, ...]
    described: str


class Ledger:
    """The tables of one projection, in the transaction of ``connection``.

    ``declared`` are the tables of its present ``version``.
    """

    def __init__(
        self, connection: Connection, name: str, version: int, declared: Sequence[Table]
    ) -> None:
        self._connection = connection
        self._name = name
        self._version = version
        self._declared = declared
        with own_schema_only(connection):
            _tables.create_all(connection)

    def owned(self) -> dict[str, str]:
        """Return the tables of this projection, each with its columns when it was made."""
        return {name: columns for name, _, columns in self._rows() if name != _KEPT}

    def check(self, stored: int | None) -> bool:
        """Check that each declared table is this projection's; return whether one is missing.

        ``stored`` is the version of the checkpoint, ``None`` for a projection that is new here.
        Raises ProjectionTableError for a table of another projection, for one that is there and
        was not made by this projection, and for one whose columns were changed.
        """
        if stored is not None and (_KEPT, stored) not in {row[:2] for row in self._rows()}:
            self._adopt(stored)
        owned = self.owned()
        missing = False
        for table in self._declared:
            found = read_columns(self._connection, table.name)
            if table.name not in owned:
                self._check_free(table.name)
            elif found.names:
                self._compare(table, found, owned[table.name], current=stored == self._version)
            missing |= not found.names
        return missing

    def check_present(self, version: int) -> None:
        """Raise ProjectionTableError where a table of this version was altered or removed."""
        self.check(version)
        for table in self._declared:
            if not read_columns(self._connection, table.name).names:
                raise ProjectionTableError(
                    self._name,
                    table.name,
                    "was removed: it is computed again once the projection is opened again",
                )

    def _rows(self) -> list[tuple[str, int, str]]:
        c = ledger_table.c
        found = select(c.table_name, c.version, c.columns).where(c.projection == self._name)
        return [tuple(row) for row in self._connection.execute(found)]

    def create_missing(self) -> None:
        """Create the declared tables that are missing, and enter them."""
        self._create()
        self._enter(self._declared, self._version)

    def replace(self) -> None:
        """Drop every table of this projection, of any version, and create the declared ones."""
        self.drop()
        self.forget()
        for table in self._declared:
            self._check_free(table.name)
        self.create_missing()

    def check_names(self) -> None:
        """Raise ProjectionTableError where a declared table would take another one's name."""
        owned = self.owned()
        for table in self._declared:
            if table.name not in owned:
                self._check_free(table.name)

    def present(self) -> list[str]:
        """Return the names of this projection's tables that are there."""
        return [name for name in self.owned() if read_columns(self._connection, name).names]

    def enter_all(self) -> None:
        """Enter the declared tables, which are there, in the place of every other one."""
        self.forget()
        self._enter(self._declared, self._version)

    def forget(self) -> None:
        """Remove what is known of this projection's tables."""
        c = ledger_table.c
        self._connection.execute(delete(ledger_table).where(c.projection == self._name))

    def drop(self) -> None:
        """Drop every table of this projection."""
        connection = self._connection
        gone = self.present()
        known = [table for table in self._declared if table.name in gone]
        quote = connection.dialect.identifier_preparer.quote
        with own_schema_only(connection) as schema:
            if connection.dialect.name == "postgresql":
                names = [f"{quote(schema)}.{quote(name)}" for name in gone]
            else:
                # Tables that refer to one another are dropped in the order of their references.
                names = sorted(set(gone) - {table.name for table in known})
                for name in names:
                    connection.exec_driver_sql(f"DROP TABLE {quote(schema)}.{quote(name)}")
                if known:
                    known[0].metadata.drop_all(connection, tables=known)
                return
            if names:
                connection.exec_driver_sql(f"DROP TABLE {', '.join(names)}")

    def _create(self) -> None:
        if self._declared:
            with own_schema_only(self._connection):
                metadata = self._declared[0].metadata
                metadata.create_all(self._connection, tables=list(self._declared))

    def _adopt(self, stored: int) -> None:
        """Enter the declared tables that a program without a ledger has made, as of ``stored``."""
        present = [
            table
            for table in self._declared
            if read_columns(self._connection, table.name).names
            and self._owner_of(table.name) in {None, self._name}
        ]
        self._enter(present, stored)

    def _enter(self, tables: Sequence[Table], version: int) -> None:
        c = ledger_table.c
        names = [_KEPT, *(table.name for table in tables)]
        self._connection.execute(
            delete(ledger_table).where(c.projection == self._name, c.table_name.in_(names))
        )
        rows = [
            {
                "projection": self._name,
                "table_name": name,
                "version": version,
                "columns": read_columns(self._connection, name).described,
            }
            for name in names
        ]
        self._connection.execute(insert(ledger_table), rows)

    def _owner_of(self, table: str) -> str | None:
        c = ledger_table.c
        found = select(c.projection).where(c.table_name == table)
        owners = list(self._connection.execute(found).scalars())
        return self._name if self._name in owners else next(iter(owners), None)

    def _check_free(self, table: str) -> None:
        """Raise ProjectionTableError where a name is another projection's or another program's."""
        owner = self._owner_of(table)
        if owner not in {None, self._name}:
            raise ProjectionTableError(
                self._name, table, f"is one of projection {owner!r}: name one of them otherwise"
            )
        taken = text(_TAKEN[self._connection.dialect.name])
        if self._connection.execute(taken, {"table": table}).first() is not None:
            raise ProjectionTableError(
                self._name,
                table,
                "is there already, and was not made by this projection: it may be another "
                "program's; name the projection's table otherwise, or remove the one that is there",
            )

    def _compare(self, table: Table, found: Columns, made: str, *, current: bool) -> None:
        if found.described != made:
            raise ProjectionTableError(
                self._name,
                table.name,
                f"was altered: its columns are ({found.described}), and were made as ({made}); "
                "put them back, or drop the table, and it is computed again",
            )
        absent = [column.name for column in table.columns if column.name not in found.names]
        if current and absent:
            raise ProjectionTableError(
                self._name,
                table.name,
                f"was made without the column {absent[0]!r}: raise the projection's version",
            )


def read_columns(connection: Connection, table: str) -> Columns:
    """Return a table's columns with their types, as the database describes them."""
    rows = connection.execute(text(_COLUMNS[connection.dialect.name]), {"table": table}).all()
    described = (f"{name} {kind}{' NOT NULL' if required else ''}" for name, kind, required in rows)
    return Columns(tuple(row[0] for row in rows), ", ".join(described))
