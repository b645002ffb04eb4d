"""PostgreSQL's own grammar, by the library ``pgparse``: what a text of SQL says.

A tree is made of dicts and lists. A node is a dict with one member, whose name is the node's kind
(``{"SelectStmt": {…}}``), or the plain content where the kind follows from the field.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.system.extras import needs_extra
from projections.sql.model import SqlRefusedError
from projections.sql.postgres._lexer import tokens

if TYPE_CHECKING:
    from collections.abc import Iterator


class SqlSyntaxError(Exception):
    """The text is no SQL of PostgreSQL's; the message is PostgreSQL's."""


class Statement(NamedTuple):
    """One statement: the kind of its outermost node (``InsertStmt``), and what that holds."""

    kind: str
    node: dict[str, Any]


def check_parser() -> None:
    """Raise ConfigError, which names the extra, where the library is not installed."""
    with needs_extra("sql", "SQL storage on PostgreSQL"):
        import pgparse  # noqa: F401, PLC0415 - optional


def parse_statements(sql: str) -> list[Statement]:
    """Return the statements of a text. Raises SqlSyntaxError, SqlRefusedError for a NUL."""
    import pgparse  # noqa: PLC0415 - optional

    _check_text(sql)
    try:
        found = pgparse.parse(sql)
    except (pgparse.PGQueryError, UnicodeEncodeError, json.JSONDecodeError) as error:
        raise SqlSyntaxError(str(error)) from error
    return [Statement(*next(iter(one["stmt"].items()))) for one in found]


def parse_plpgsql(sql: str) -> list[str]:
    """Return the SQL within a CREATE FUNCTION of PL/pgSQL: each as a whole statement.

    Raises SqlSyntaxError, SqlRefusedError where the function makes SQL from texts, or ends a
    transaction.
    """
    import pgparse  # noqa: PLC0415 - optional

    _check_text(sql)
    try:
        tree = pgparse.parse_pgsql(sql)
    except (pgparse.PGQueryError, UnicodeEncodeError, json.JSONDecodeError) as error:
        raise SqlSyntaxError(str(error)) from error
    found = []
    for name, value in walk(tree):
        if name in _REFUSED_STEPS or (name in _DYNAMIC and value):
            raise SqlRefusedError(sql, _REFUSED_STEPS.get(name, _REFUSED_STEPS[_EXECUTE]))
        if name == "PLpgSQL_expr":
            found += _as_statements(value["query"], value.get("parseMode", 0))
    return found


_EXECUTE: Final = "PLpgSQL_stmt_dynexecute"
_REFUSED_STEPS: Final = {
    _EXECUTE: "a function may not EXECUTE a text, which cannot be judged: write the statement",
    "PLpgSQL_stmt_dynfors": "a function may not loop over the rows of an EXECUTE: write the query",
    "PLpgSQL_stmt_commit": "a function may not end a transaction",
    "PLpgSQL_stmt_rollback": "a function may not end a transaction",
    "PLpgSQL_stmt_call": "a function may not CALL a procedure",
}
_DYNAMIC: Final = {"dynquery", "dynqueries"}
"""Fields of OPEN … FOR EXECUTE and RETURN QUERY EXECUTE."""


def _as_statements(text: str, mode: int) -> list[str]:
    """Return an expression or assignment of PL/pgSQL as statements."""
    if mode == _STATEMENT:
        return [text]
    if mode < _ASSIGNMENT:
        return [f"SELECT {text}"]
    # ``target := value``: the target may have subscripts, which may call functions.
    depth, target = 0, ""
    for token in tokens(text):
        if token.text in {"=", ":"} and depth == 0:
            value = text[len(target) :].removeprefix(":").removeprefix("=")
            return [f"SELECT {target}", f"SELECT {value}"]
        depth += {"[": 1, "(": 1, "]": -1, ")": -1}.get(token.text, 0)
        target += token.text
    raise SqlSyntaxError(f"no assignment: {text}")


_STATEMENT: Final = 0
_ASSIGNMENT: Final = 3
"""Ways in which PL/pgSQL reads a piece of SQL; lower ones than an assignment are expressions."""


def walk(tree: Any) -> Iterator[tuple[str, Any]]:
    """Yield (name, value) of every member of every dict within a tree, outer ones first."""
    waiting = [tree]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            yield from one.items()
            waiting += one.values()
        elif isinstance(one, list):
            waiting += one


def strings(nodes: Any) -> list[str]:
    """Return the texts of the ``String`` nodes within a part of a tree, in order."""
    if isinstance(nodes, list):
        return [text for node in nodes for text in strings(node)]
    if not isinstance(nodes, dict):
        return []
    if "String" in nodes:
        return [nodes["String"].get("sval", "")]
    return [text for value in nodes.values() for text in strings(value)]


def _check_text(sql: str) -> None:
    # The parser would not see what follows a NUL.
    if "\0" in sql:
        raise SqlRefusedError(sql, "a statement has no NUL character: pass it as a parameter")
