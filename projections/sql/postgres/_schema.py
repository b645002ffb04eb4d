"""The schema of a PostgreSQL database, as far as capture and replay have to know it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from eventstore.storage.postgres.owners import check_owners
from projections.sql._identifiers import (
    LATER_RESERVED,
    RESERVED,
    UNCAPTURED,
    is_reserved,
    later_reserved,
    quote_name,
)
from projections.sql._schema import Schema
from projections.sql.model import CapturedTable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_OBJECTS: Final = {
    "VIEW": (
        "SELECT pg_catalog.quote_ident(relname) FROM pg_catalog.pg_class WHERE relkind = 'v' "
        "AND relnamespace = current_schema()::regnamespace::oid"
    ),
    "MATERIALIZED VIEW": (
        "SELECT pg_catalog.quote_ident(relname) FROM pg_catalog.pg_class WHERE relkind = 'm' "
        "AND relnamespace = current_schema()::regnamespace::oid"
    ),
    "ROUTINE": (
        "SELECT oid::regprocedure::text FROM pg_catalog.pg_proc p "
        "WHERE pronamespace = current_schema()::regnamespace::oid AND NOT EXISTS ("
        "SELECT 1 FROM pg_catalog.pg_trigger t JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid "
        "WHERE t.tgfoid = p.oid AND c.relname = ANY(%(reserved)s)) AND NOT EXISTS ("
        "SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    ),
    "SEQUENCE": (
        "SELECT pg_catalog.quote_ident(relname) FROM pg_catalog.pg_class c WHERE relkind = 'S' "
        "AND relnamespace = current_schema()::regnamespace::oid AND NOT EXISTS ("
        "SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = c.oid AND d.deptype IN ('a', "
        "'i', 'e'))"
    ),
    "TYPE": (
        "SELECT pg_catalog.quote_ident(typname) FROM pg_catalog.pg_type t "
        "WHERE typnamespace = current_schema()::regnamespace::oid AND (typtype IN ('e', 'd') "
        "OR EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND relkind "
        "= 'c')) "
        "AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_depend d WHERE d.objid = t.oid AND "
        "d.deptype = 'e')"
    ),
}
"""Queries for what else migrations create, in the order in which it can be dropped."""

_NAMES: Final = """
SELECT relname::text FROM pg_catalog.pg_class
WHERE relnamespace = current_schema()::regnamespace::oid
    AND pg_catalog.lower(relname::text) = ANY(%(names)s)
UNION SELECT proname::text FROM pg_catalog.pg_proc
WHERE pronamespace = current_schema()::regnamespace::oid
    AND pg_catalog.lower(proname::text) = ANY(%(names)s)
UNION SELECT typname::text FROM pg_catalog.pg_type
WHERE typnamespace = current_schema()::regnamespace::oid
    AND pg_catalog.lower(typname::text) = ANY(%(names)s)
"""
_OWN_NAMES: Final = """
SELECT c.relname::text FROM pg_catalog.pg_class c
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
LEFT JOIN pg_catalog.pg_class t ON t.oid = i.indrelid
WHERE c.relnamespace = current_schema()::regnamespace::oid
    AND (c.relkind IN ('v', 'm') OR coalesce(t.relname, c.relname)::text = ANY(%(tables)s))
"""


class PostgresTable(NamedTuple):
    """A table with the type of each of its columns."""

    table: CapturedTable
    types: dict[str, str]
    always_identity: frozenset[str]
    """Columns that are GENERATED ALWAYS AS IDENTITY: no UPDATE may assign them."""


class PostgresSchema(Schema[PostgresTable]):
    """See :class:`Schema`. All tables are those of the log's schema."""

    placeholder = "%s"
    insert_clause = "OVERRIDING SYSTEM VALUE"

    def list_tables(self) -> list[str]:
        """Return the tables that are neither the log's nor this package's."""
        rows = self._raw.execute(
            "SELECT relname FROM pg_catalog.pg_class WHERE relnamespace = "
            "current_schema()::regnamespace::oid "
            "AND relkind IN ('r', 'p') ORDER BY 1"
        ).fetchall()
        return [name for (name,) in rows if not is_reserved(name, self.own)]

    def list_later_reserved(self) -> frozenset[str]:
        """Return the names of ``LATER_RESERVED`` that objects of any kind have."""
        rows = self._raw.execute(_NAMES, {"names": list(LATER_RESERVED)}).fetchall()
        return later_reserved(name for (name,) in rows)

    def list_own_reserved(self, tables: Sequence[str]) -> frozenset[str]:
        """Return those of them that views, or these tables and their indexes, have."""
        rows = self._raw.execute(_OWN_NAMES, {"tables": list(tables)}).fetchall()
        return later_reserved(name for (name,) in rows)

    def read_table(self, name: str) -> PostgresTable:
        """Describe a table; its key is empty where it has no primary key."""
        rows = self._raw.execute(
            "SELECT attname, pg_catalog.format_type(atttypid, atttypmod), attidentity::text "
            "FROM pg_catalog.pg_attribute "
            "WHERE attrelid = pg_catalog.format('%%I.%%I', "
            "current_schema(), %s::text)::regclass::oid "
            "AND attnum > 0 AND NOT attisdropped AND attgenerated = '' ORDER BY attnum",
            (name,),
        ).fetchall()
        key = self._raw.execute(
            "SELECT a.attname FROM pg_catalog.pg_index i CROSS JOIN LATERAL "
            "pg_catalog.unnest(i.indkey) "
            "WITH ORDINALITY AS k (num, place) "
            "JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.num "
            "WHERE i.indrelid = pg_catalog.format('%%I.%%I', "
            "current_schema(), %s::text)::regclass::oid "
            "AND i.indisprimary ORDER BY k.place",
            (name,),
        ).fetchall()
        return PostgresTable(
            CapturedTable(name, tuple(row[0] for row in rows), tuple(row[0] for row in key)),
            {row[0]: row[1] for row in rows},
            frozenset(row[0] for row in rows if row[2] == "a"),
        )

    def drop_tables(self, names: Sequence[str]) -> None:
        """Drop these tables, the ledger, and the users' views, functions, sequences and types."""
        for name in [*names, *self.read_uncaptured()]:
            self._raw.execute(f"DROP TABLE IF EXISTS {quote_name(name)} CASCADE".encode())
        for kind, query in _OBJECTS.items():
            for (name,) in self._raw.execute(query, {"reserved": list(RESERVED)}).fetchall():
                self._raw.execute(f"DROP {kind} IF EXISTS {name} CASCADE".encode())
        self._execute(f"DROP TABLE IF EXISTS {self._ledger()}")
        self._execute(f"DROP TABLE IF EXISTS {self.schema_name()}.{UNCAPTURED}")

    def _execute(self, statement: str) -> None:
        self._raw.execute(statement.encode())

    def read_sequences(self, names: Sequence[str]) -> dict[tuple[str, str], tuple[int, bool]]:
        """Return (last value, whether it was given out) by (table, column)."""
        found = {}
        rows = self._raw.execute(
            "SELECT relname, attname, pg_catalog.pg_get_serial_sequence("
            "pg_catalog.quote_ident(current_schema()) || '.' || "
            "pg_catalog.quote_ident(relname), attname) "
            "FROM pg_catalog.pg_attribute JOIN pg_catalog.pg_class c ON c.oid = attrelid "
            "WHERE attnum > 0 "
            "AND NOT attisdropped AND relnamespace = current_schema()::regnamespace::oid "
            "AND relname = ANY(%s)",
            (list(names),),
        ).fetchall()
        for table, column, sequence in rows:
            if sequence is not None:
                query = f"SELECT last_value, is_called FROM {sequence}"
                found[table, column] = self._raw.execute(query.encode()).fetchone()
        return found

    def restore_sequences(self, known: Mapping[tuple[str, str], tuple[int, bool]]) -> None:
        """Let no sequence give out a number twice."""
        for (table, column), (value, called) in known.items():
            self._raw.execute(
                "SELECT pg_catalog.setval(pg_catalog.pg_get_serial_sequence("
                "pg_catalog.quote_ident(%(table)s), %(column)s), %(value)s, %(called)s) "
                "WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_attribute WHERE attrelid = "
                "pg_catalog.to_regclass(pg_catalog.quote_ident(%(table)s))::oid "
                "AND attname = %(column)s)",
                {"table": table, "column": column, "value": value, "called": called},
            )

    def schema_name(self) -> str:
        """Return the first schema of the session's search path, quoted."""
        (name,) = self._raw.execute("SELECT pg_catalog.quote_ident(current_schema())").fetchone()
        return str(name)

    def number_tables(self, names: Sequence[str]) -> frozenset[int]:
        """Return the numbers of tables of these names."""
        rows = self._raw.execute(
            "SELECT oid FROM pg_catalog.pg_class WHERE relnamespace = "
            "current_schema()::regnamespace::oid AND relname = ANY (%s)",
            (list(names),),
        ).fetchall()
        return frozenset(number for (number,) in rows)

    def has_table(self, name: str) -> bool:
        """Return True if there is a table of that name."""
        found = self._raw.execute(
            "SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace = "
            "current_schema()::regnamespace::oid AND relname = %s AND relkind IN ('r', 'p')",
            (name,),
        ).fetchone()
        return found is not None

    def has_ledger(self) -> bool:
        """Return True once a migration has been applied."""
        found = super().has_ledger()
        if found:
            self._check_owner()
        return found

    def make_ledger(self) -> None:
        """Make the ledger where there is none."""
        super().make_ledger()
        self._check_owner()

    def _check_owner(self) -> None:
        # It is made when it is first needed: another role may have made it first.
        check_owners(self._raw, f"the database {self._raw.info.dbname!r}")


def quote_for_parameters(name: str) -> str:
    """Return an identifier as it stands in a statement with psycopg's placeholders."""
    return quote_name(name).replace("%", "%%")
