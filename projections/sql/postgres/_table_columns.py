"""Which columns the tables have after definitions, as far as these say it themselves.

A table whose columns come from elsewhere (a query, a parent, another table, a type) has unknown
ones: nothing is said about its rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from projections.sql.postgres.parser import strings

if TYPE_CHECKING:
    from collections.abc import Collection

    from projections.sql.postgres.parser import Statement

_FROM_ELSEWHERE: Final = {"inhRelations", "partbound", "ofTypename"}
_PARENTS: Final = {
    "AT_AddInherit", "AT_AddOf", "AT_AttachPartition", "AT_DetachPartition",
    "AT_DetachPartitionFinalize", "AT_DropInherit", "AT_DropOf",
}  # fmt: skip
"""Changes after which another table's columns may become this one's, or the other way round."""


class TableColumns:
    """The recorded columns of each table: all but generated ones; ``None`` where unknown."""

    def __init__(self, *, complete: bool = True) -> None:
        self.tables: dict[str, frozenset[str] | None] = {}
        self._complete = complete
        """False where there may be tables that no definition has made here."""

    def copy(self) -> TableColumns:
        """Return the same, to be changed on its own."""
        other = TableColumns(complete=self._complete)
        other.tables = dict(self.tables)
        return other

    def may_have(self, table: str) -> bool:
        """Return False for a table that no definition has made."""
        return not self._complete or table in self.tables

    def check(self, table: str, row: Collection[str]) -> None:
        """Raise LookupError for a row that has not just the columns of its table."""
        columns = self.tables.get(table)
        if columns is not None and columns != set(row):
            raise LookupError(f"a row of {table!r} with the columns {sorted(row)}"[:300])

    def apply(self, statement: Statement) -> None:
        """Note what a definition does, which a migration may have."""
        kind, node = statement
        if kind == "CreateStmt":
            self._create(node)
        elif kind == "CreateTableAsStmt":
            self._create_as(node)
        elif kind == "AlterTableStmt":
            self._alter(node)
        elif kind == "RenameStmt":
            self._rename(node)
        elif kind == "DropStmt":
            self._drop(node)
        elif kind == "CreateExtensionStmt":
            self._complete = False  # It may make tables.

    def _create(self, node: dict[str, Any]) -> None:
        relation, elements = node["relation"], node.get("tableElts", [])
        name = relation["relname"]
        if relation.get("relpersistence") == "t":
            return
        if name in self.tables and node.get("if_not_exists"):
            self._forget(name)
            return
        known = not (_FROM_ELSEWHERE & set(node) or any("TableLikeClause" in e for e in elements))
        columns = (element["ColumnDef"] for element in elements if "ColumnDef" in element)
        stored = frozenset(one["colname"] for one in columns if not _is_generated(one))
        self.tables[name] = stored if known else None

    def _create_as(self, node: dict[str, Any]) -> None:
        relation = node["into"]["rel"]
        if node.get("objtype") != "OBJECT_MATVIEW" and relation.get("relpersistence") != "t":
            self.tables[relation["relname"]] = None

    def _alter(self, node: dict[str, Any]) -> None:
        name = node["relation"]["relname"]
        for one in node.get("cmds", []):
            command = one["AlterTableCmd"]
            if command["subtype"] in _PARENTS:
                self._forget(name)
                self._forget(command.get("def", {}).get("PartitionCmd", {}).get("name", {}))
            elif (columns := self.tables.get(name)) is not None:
                self.tables[name] = _altered(columns, command)

    def _rename(self, node: dict[str, Any]) -> None:
        table = node.get("relation", {}).get("relname", "")
        if table not in self.tables:
            return
        columns = self.tables[table]
        if node["renameType"] == "OBJECT_TABLE":
            del self.tables[table]
            self.tables[node["newname"]] = columns
        elif node["renameType"] == "OBJECT_COLUMN" and columns and node["subname"] in columns:
            self.tables[table] = (columns - {node["subname"]}) | {node["newname"]}

    def _drop(self, node: dict[str, Any]) -> None:
        if node["removeType"] == "OBJECT_TABLE":
            for one in node["objects"]:
                self.tables.pop(strings(one)[-1], None)
        elif node.get("behavior") == "DROP_CASCADE":
            # A type or a function takes columns along.
            self.tables = dict.fromkeys(self.tables)

    def _forget(self, name: Any) -> None:
        name = name.get("relname") if isinstance(name, dict) else name
        if name in self.tables:
            self.tables[name] = None


def _altered(columns: frozenset[str], command: dict[str, Any]) -> frozenset[str]:
    if command["subtype"] == "AT_AddColumn":
        added = command["def"]["ColumnDef"]
        return columns if _is_generated(added) else columns | {added["colname"]}
    if command["subtype"] == "AT_DropColumn":
        return columns - {command["name"]}
    if command["subtype"] == "AT_DropExpression":
        return columns | {command["name"]}
    return columns


def _is_generated(column: dict[str, Any]) -> bool:
    constraints = (one["Constraint"]["contype"] for one in column.get("constraints", []))
    return "CONSTR_GENERATED" in constraints
