"""What a migration's statement does, and whether it may: judged on PostgreSQL's own syntax tree.

A replay executes the definitions again, from any writer's event, so they are
judged there too. Allowed are the statements listed here and no others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

from projections.sql._identifiers import CAPTURE, LEDGER, is_reserved
from projections.sql.model import SqlRefusedError
from projections.sql.postgres._guard import (
    NONE,
    QUERIES,
    Names,
    judge_statement,
    refuse_query,
    relations,
    statement_name,
)
from projections.sql.postgres.parser import (
    SqlSyntaxError,
    Statement,
    parse_plpgsql,
    parse_statements,
    strings,
    walk,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

Step: TypeAlias = Literal["rows", "definition"]
"""What a statement of a migration changes."""

_DEFINITIONS: Final = {
    "AlterDomainStmt", "AlterEnumStmt", "AlterSeqStmt", "AlterTableStmt", "CommentStmt",
    "CompositeTypeStmt", "CreateDomainStmt", "CreateEnumStmt", "CreateExtensionStmt",
    "CreateFunctionStmt", "CreateRangeStmt", "CreateSeqStmt", "CreateStatsStmt", "CreateStmt",
    "CreateTableAsStmt", "CreateTrigStmt", "DropStmt", "GrantStmt", "IndexStmt",
    "RefreshMatViewStmt", "RenameStmt", "ViewStmt",
}  # fmt: skip
_DROPPED: Final = {
    "OBJECT_COLUMN", "OBJECT_DOMAIN", "OBJECT_EXTENSION", "OBJECT_FUNCTION", "OBJECT_INDEX",
    "OBJECT_MATVIEW", "OBJECT_PROCEDURE", "OBJECT_ROUTINE", "OBJECT_SEQUENCE",
    "OBJECT_STATISTIC_EXT", "OBJECT_TABCONSTRAINT", "OBJECT_TABLE", "OBJECT_TRIGGER",
    "OBJECT_TYPE", "OBJECT_VIEW", "OBJECT_DOMCONSTRAINT", "OBJECT_ATTRIBUTE",
}  # fmt: skip
"""Kinds of objects that may be dropped, renamed, or commented on."""

_PARTS: Final = {
    "OBJECT_ATTRIBUTE", "OBJECT_COLUMN", "OBJECT_DOMCONSTRAINT", "OBJECT_TABCONSTRAINT",
    "OBJECT_TRIGGER",
}  # fmt: skip
"""Kinds whose names belong to a table or type: any name will do."""

_REFUSED_CHANGES: Final = {
    "AT_ChangeOwner": "the owner",
    "AT_EnableAlwaysTrig": "which triggers a replica fires",
    "AT_EnableReplicaTrig": "which triggers a replica fires",
    "AT_EnableRowSecurity": "which rows a role sees",
    "AT_DisableRowSecurity": "which rows a role sees",
    "AT_ForceRowSecurity": "which rows a role sees",
    "AT_SetTableSpace": "where a table lies",
    "AT_SetUnLogged": "whether a table is durable",
}
_EXTENSIONS: Final = {
    "btree_gin", "btree_gist", "citext", "cube", "dict_int", "earthdistance", "fuzzystrmatch",
    "hstore", "intarray", "isn", "ltree", "pg_trgm", "pgcrypto", "plpgsql", "postgis", "seg",
    "tsm_system_rows", "tsm_system_time", "unaccent", "uuid-ossp", "vector",
}  # fmt: skip
"""Extensions whose functions compute values; others reach files, servers, or take texts of SQL."""

_NAME_FIELDS: Final = (
    "funcname", "typeName", "typevar", "domainname", "defnames", "objname", "idxname", "trigname",
    "conname", "newname", "typename",
)  # fmt: skip


def judge_definition(
    sql: str, foreign: Collection[str] = (), own: Names = NONE, *, recorded: bool = False
) -> Step:
    """Return what a migration's statement changes; ``recorded`` for one that an event holds.

    ``foreign`` are tables of other programs, ``own`` reserved names that the program's objects
    may have, since before they were reserved.

    Raises SqlRefusedError for one that no migration may have, and for what is no SQL.
    """
    try:
        found = parse_statements(sql)
    except SqlSyntaxError as error:
        raise SqlRefusedError(sql, str(error)) from error
    if len(found) != 1:
        raise SqlRefusedError(sql, "one statement at a time")
    statement = found[0]
    if statement.kind in QUERIES | {"LockStmt"}:
        refusal = judge_statement(statement, own).refusal
        step: Step = "rows"
    else:
        refusal = _refuse(sql, statement, own, recorded=recorded)
        refusal, step = refusal or _refuse_foreign(statement, foreign), "definition"
    if refusal:
        raise SqlRefusedError(sql, refusal)
    return step


def makes_ledger(sql: str) -> bool:
    """Return True for a definition of a table that is called as the ledger of migrations."""
    try:
        found = parse_statements(sql)
    except (SqlSyntaxError, SqlRefusedError):
        return False
    relation = found[0].node.get("relation", {}) if found else {}
    names = relation.get("relname"), relation.get("relpersistence")
    return bool(found) and found[0].kind == "CreateStmt" and names == (LEDGER, "p")


def _refuse(sql: str, statement: Statement, own: Names, *, recorded: bool) -> str:
    kind, node = statement
    if kind not in _DEFINITIONS:
        name = statement_name(kind)
        if kind == "TransactionStmt":
            name = node["kind"].removeprefix("TRANS_STMT_").replace("_", " ")
        return (
            f"a migration is one transaction of definitions and changes of rows: leave {name} out"
        )
    judge_kind = {
        "AlterTableStmt": _refuse_alter,
        "CreateExtensionStmt": _refuse_extension,
        "DropStmt": _refuse_object,
        "RenameStmt": _refuse_object,
        "CommentStmt": _refuse_object,
        "GrantStmt": _refuse_grant,
    }.get(kind)
    return (
        (judge_kind(node) if judge_kind else "")
        or _refuse_names(sql, statement, own, recorded=recorded)
        or _refuse_body(sql, statement, own)
        or _refuse_queries(node, own)
    )


def _refuse_foreign(statement: Statement, foreign: Collection[str]) -> str:
    """Refuse to change what another program has made; to refer to it is allowed."""
    kind, node = statement
    changed = [node.get(name, {}).get("relname", "") for name in ("relation", "sequence")]
    if kind == "DropStmt":
        changed += strings(node.get("objects", []))
    taken = sorted(set(changed) & set(foreign))
    return f"{taken[0]!r} is not one of this storage's own tables" if taken else ""


def _refuse_alter(node: dict[str, Any]) -> str:
    for name, value in walk(node):
        if name == "AlterTableCmd" and value["subtype"] in _REFUSED_CHANGES:
            return f"a migration does not change {_REFUSED_CHANGES[value['subtype']]}"
    return ""


def _refuse_extension(node: dict[str, Any]) -> str:
    if node["extname"] not in _EXTENSIONS or node.get("options"):
        return f"extension {node['extname']!r}: let the database's administrator create it"
    return ""


def _refuse_grant(node: dict[str, Any]) -> str:
    if node.get("targtype") != "ACL_TARGET_OBJECT" or node.get("objtype") not in {
        "OBJECT_TABLE",
        "OBJECT_SEQUENCE",
        "OBJECT_FUNCTION",
    }:
        return "a migration grants rights on tables, sequences and functions that it names"
    return ""


def _refuse_object(node: dict[str, Any]) -> str:
    kind = node.get("removeType") or node.get("renameType") or node.get("objtype")
    if kind not in _DROPPED:
        name = str(kind).removeprefix("OBJECT_")
        return f"a migration leaves what is a {name} alone"
    return ""


def _refuse_names(sql: str, statement: Statement, own: Names, *, recorded: bool) -> str:
    """Refuse every name that the log has, of any kind of object, and other schemas' objects."""
    node = statement.node
    # Migrations could call their triggers as they liked once.
    free = {node.get("trigname", "")} if recorded else set()
    for name in list_names(statement):
        if is_reserved(name, own) and (name not in free or name.startswith(CAPTURE)):
            reason = f"{name!r} is not one of this storage's own tables: a name of the log's own"
            raise SqlRefusedError(sql, reason, name)
    for relation in relations(node):
        if relation.get("catalogname"):
            return f"{relation['catalogname']!r} is another database"
    return ""


def list_names(statement: Statement) -> Iterator[str]:
    """Yield the names of objects in a definition: those that it makes, and that it refers to."""
    kind, node = statement
    yield from (relation["relname"] for relation in relations(node))
    of_part = (node.get("removeType") or node.get("renameType") or node.get("objtype")) in _PARTS
    for name, value in walk(node):
        if name in _NAME_FIELDS:
            if isinstance(value, str):
                # A constraint may be called as it likes, and so may a renamed column.
                if name != "conname" and not (name == "newname" and of_part):
                    yield value
            elif name != "typeName" or isinstance(value, list):
                yield from _without_schema(value)
        if name in {"TypeName", "typeName", "returnType", "argType"} and isinstance(value, dict):
            yield from _without_schema(value.get("names", []))
    if kind in {"DropStmt", "CommentStmt"}:
        found = strings(node.get("objects", node.get("object", [])))
        yield from found[:-1] if of_part else found
    if kind in {"AlterSeqStmt", "CreateSeqStmt"}:
        yield from strings(node.get("options", []))[:1]


def _without_schema(names: Any) -> list[str]:
    found = strings(names)
    # "pg_catalog" before a type's name is the parser's own way to write it.
    return [] if found[:1] == ["pg_catalog"] else found


def _refuse_queries(node: dict[str, Any], own: Names) -> str:
    inner = {name: value for name, value in node.items() if name not in {"into", "relation"}}
    return refuse_query(inner, own)


def _refuse_body(sql: str, statement: Statement, own: Names) -> str:
    """Judge what a new function does: its statements are those of a caller."""
    kind, node = statement
    if kind != "CreateFunctionStmt":
        return ""
    options = {
        one["DefElem"]["defname"]: one["DefElem"].get("arg", {}) for one in node.get("options", [])
    }
    if (
        node.get("is_procedure")
        or "set" in options
        or options.get("security", {}).get("Boolean", {}).get("boolval")
    ):
        return "make a function with its caller's rights and settings: no SECURITY, SET, PROCEDURE"
    language = (strings(options.get("language", {})) or ["sql"])[0].lower()
    if language not in {"sql", "plpgsql"}:
        return f"a function is written in SQL or PL/pgSQL, not in {language}"
    try:
        as_texts = language == "sql"
        bodies = strings(options.get("as", {})) if as_texts else parse_plpgsql(sql)
        refusals = (_refuse_inner(body, own) for body in bodies)
        return next(filter(None, refusals), "") or _refuse_sql_body(node)
    except SqlSyntaxError as error:
        return f"the function cannot be judged: {error}"
    except SqlRefusedError as error:
        return error.reason


def _refuse_inner(body: str, own: Names) -> str:
    for statement in parse_statements(body):
        if statement.kind not in QUERIES | {"CreateStmt", "CreateTableAsStmt"}:
            return f"a function changes rows only: leave {statement_name(statement.kind)} out"
        if refusal := judge_statement(statement, own).refusal:
            return refusal
    return ""


def _refuse_sql_body(node: dict[str, Any]) -> str:
    for name, _ in walk(node.get("sql_body", {})):
        if name.endswith("Stmt") and name not in QUERIES | {"ReturnStmt"}:
            return f"a function changes rows only: leave {statement_name(name)} out"
    return ""
