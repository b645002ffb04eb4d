"""What a caller's statement does, and whether it may: judged on PostgreSQL's own syntax tree.

Allowed are the statements listed here and no others. What a tree cannot tell, such as the work of
functions that others made, is found at the commit (:mod:`projections.sql.postgres._row_counts`),
or prevented by the role's rights (docs/postgres.md).
"""

from __future__ import annotations

import sqlite3
from typing import Any, Final, Literal, NamedTuple, TypeAlias

from projections.sql._identifiers import CAPTURE, is_reserved
from projections.sql.model import SqlRefusedError
from projections.sql.postgres._functions import refuse_call
from projections.sql.postgres._lexer import remembered
from projections.sql.postgres.parser import (
    SqlSyntaxError,
    Statement,
    parse_statements,
    strings,
    walk,
)

Kind: TypeAlias = Literal[
    "empty", "read", "write", "temporary", "begin", "commit", "rollback", "savepoint"
]
"""What a statement needs: nothing, a snapshot, a transaction; or what it does to one."""

Names: TypeAlias = "frozenset[str]"
NONE: Final[Names] = frozenset()

MIGRATIONS_ONLY: Final = (
    "the schema is changed by migrations only (apply_migrations), rows by INSERT, UPDATE, DELETE "
    "and MERGE"
)
_NOT_OURS: Final = "{!r} is not a table that a migration of this storage made"

_ROWS: Final = {"InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"}
QUERIES: Final = _ROWS | {"SelectStmt"}
_TRANSACTIONS: Final[dict[str, Kind]] = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "savepoint",
    "TRANS_STMT_ROLLBACK_TO": "savepoint",
}


class Made(NamedTuple):
    """What a definition makes: a relation, by its schema (empty for the first) and name."""

    schema: str
    name: str


class DefinitionRefusedError(SqlRefusedError):
    """A definition IF NOT EXISTS is refused, unless ``made`` exists: then it does nothing."""

    def __init__(self, statement: str, reason: str, made: Made) -> None:
        super().__init__(statement, reason)
        self.made = made


class Verdict(NamedTuple):
    """What a statement is; ``refusal`` is empty for one that may run.

    One that makes a relation IF NOT EXISTS, ``made``, is refused where that does not exist.
    """

    kind: Kind
    refusal: str = ""
    made: Made | None = None


def judge(sql: str, own: Names = NONE) -> Verdict:
    """Return what a caller's statement does.

    ``own`` are reserved names that the program's tables have since before they were reserved.
    Raises SqlRefusedError for one that may not run, sqlite3.OperationalError for what is no SQL.
    That is a DefinitionRefusedError for a definition that changes nothing where something exists.
    """
    verdict = _judge_text(sql, own)
    if verdict.made:
        raise DefinitionRefusedError(sql, verdict.refusal, verdict.made)
    if verdict.refusal:
        raise SqlRefusedError(sql, verdict.refusal)
    return verdict


@remembered
def _judge_text(sql: str, own: Names) -> Verdict:
    try:
        found = parse_statements(sql)
    except SqlSyntaxError as error:
        raise sqlite3.OperationalError(str(error)) from error
    if not found:
        return Verdict("empty")
    if len(found) > 1:
        return Verdict("read", "one statement at a time: use executescript() for several")
    return judge_statement(found[0], own)


def judge_statement(statement: Statement, own: Names = NONE) -> Verdict:
    """Return what a parsed statement of a caller does, and whether it may."""
    kind, node = statement
    if kind == "TransactionStmt":
        return _judge_transaction(node)
    if kind in {"VariableShowStmt", "ExplainStmt"} | QUERIES:
        return _judge_query(statement, own)
    made = _made_if_missing(statement)
    if kind in {"CreateStmt", "CreateTableAsStmt"} and not made:
        return _judge_temporary(statement)
    if kind == "LockStmt" or (kind == "VacuumStmt" and not node.get("is_vacuumcmd")):
        names = [relation["relname"] for relation in relations(node)]
        if not names:
            return Verdict("write", "name the tables")
        return Verdict("write", _refuse_reserved(names, own) or _refuse_calls(node))
    return Verdict("write", f"{statement_name(kind)} is not recorded: {MIGRATIONS_ONLY}", made)


def statement_name(kind: str) -> str:
    """Return a kind of statement for messages: ``AlterTableStmt`` is ``ALTER TABLE``."""
    words = "".join(f" {letter}" if letter.isupper() else letter for letter in kind).split()
    return " ".join(word.upper() for word in words if word != "Stmt")


def _made_if_missing(statement: Statement) -> Made | None:
    """Return the relation that a statement makes unless there is one of its name."""
    kind, node = statement
    if not node.get("if_not_exists"):
        return None
    relation = node.get("sequence") or node.get("relation") or node.get("into", {}).get("rel", {})
    if not relation or relation.get("relpersistence") == "t" or relation.get("catalogname"):
        return None
    name = node.get("idxname", "") if kind == "IndexStmt" else relation["relname"]
    return Made(relation.get("schemaname", ""), name) if name else None


def _judge_transaction(node: dict[str, Any]) -> Verdict:
    kind = _TRANSACTIONS.get(node["kind"])
    if kind is None or node.get("chain"):
        return Verdict("write", "a transaction is one event: begin, commit or roll back")
    if node.get("savepoint_name", "").startswith(CAPTURE):
        return Verdict("savepoint", f"savepoints called {CAPTURE}… are the storage's own")
    if node.get("options"):
        return Verdict(kind, "a transaction here is READ COMMITTED, and has no options")
    return Verdict(kind)


def _judge_query(statement: Statement, own: Names) -> Verdict:
    while statement.kind == "ExplainStmt":
        statement = Statement(*next(iter(statement.node["query"].items())))
        if statement.kind not in QUERIES | {"ExplainStmt"}:
            name = statement_name(statement.kind)
            return Verdict("write", f"EXPLAIN {name} is not recorded: {MIGRATIONS_ONLY}")
    refusal = refuse_query({statement.kind: statement.node}, own)
    names = {name for name, _ in walk({statement.kind: statement.node})}
    writes = names & _ROWS or "lockingClause" in names
    return Verdict("write" if writes else "read", refusal)


def refuse_query(tree: Any, own: Names = NONE) -> str:
    """Return why a query, or the queries within a definition, may not run; empty if they may."""
    locks = False
    for name, value in walk(tree):
        if name in _ROWS:
            target = value["relation"]
            if refusal := _refuse_target(target, own):
                return refusal
        elif name == "intoClause" or (name == "into" and isinstance(value, dict)):
            return f"SELECT INTO is not recorded: {MIGRATIONS_ONLY}"
        locks |= name == "lockingClause"
    if locks:
        read = [relation["relname"] for relation in relations(tree)]
        if refusal := _refuse_reserved(read, own):
            return refusal
    return _refuse_calls(tree)


def _refuse_target(relation: dict[str, Any], own: Names) -> str:
    name, schema = relation["relname"], relation.get("schemaname", "")
    if is_reserved(name, own) or name.lower().startswith("pg_") or _is_system(schema):
        return _NOT_OURS.format(name)
    return ""


def _is_system(schema: str) -> bool:
    return schema in {"pg_catalog", "information_schema", "pg_toast"}


def _refuse_reserved(names: list[str], own: Names = NONE) -> str:
    return next((_NOT_OURS.format(name) for name in names if is_reserved(name, own)), "")


def _refuse_calls(tree: Any) -> str:
    found = (refuse_call(value) for name, value in walk(tree) if name == "FuncCall")
    return next(filter(None, found), "")


def relations(tree: Any) -> list[dict[str, Any]]:
    """Return every relation that a tree names, the names of WITH queries included."""
    found = [value for _, value in walk(tree) if isinstance(value, dict) and "relname" in value]
    return [*found, tree] if isinstance(tree, dict) and "relname" in tree else found


def _judge_temporary(statement: Statement) -> Verdict:
    """Judge CREATE TABLE, which a caller may use for temporary tables only."""
    kind, node = statement
    made = node["into"]["rel"] if kind == "CreateTableAsStmt" else node["relation"]
    temporary = made.get("relpersistence") == "t" or made.get("schemaname") == "pg_temp"
    if not temporary or node.get("objtype") == "OBJECT_MATVIEW":
        return Verdict("write", f"CREATE TABLE is not recorded: {MIGRATIONS_ONLY}")
    if is_reserved(made["relname"]):
        return Verdict("temporary", f"{made['relname']!r} is a name of the log's own")
    if kind == "CreateTableAsStmt":
        query = node["query"]
        if set(query) - {"SelectStmt"}:
            return Verdict("temporary", "CREATE TABLE AS takes a query here, no EXECUTE")
        return Verdict("temporary", refuse_query(query))
    if node.get("inhRelations") or node.get("partbound") or node.get("ofTypename"):
        return Verdict("temporary", "a temporary table has no parent here")
    return Verdict("temporary", _refuse_references(node) or _refuse_calls(node))


def _refuse_references(tree: Any) -> str:
    """Refuse tables of the log within a definition: in a foreign key, LIKE, or as a type."""
    for name, value in walk(tree):
        if name in {"TypeName", "typeName"} and is_reserved(strings(value.get("names"))[-1]):
            return _NOT_OURS.format(strings(value["names"])[-1])
    return _refuse_reserved([relation["relname"] for relation in relations(tree)])
