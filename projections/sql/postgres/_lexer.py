"""PostgreSQL's lexical rules, as far as needed to find parameters and the ends of statements.

psycopg does not know them: it looks for ``%s`` in literals too. The rules are those of
https://www.postgresql.org/docs/current/sql-syntax-lexical.html.

A ``?`` is a parameter, or one of the JSON operators ``?``, ``?|`` and ``?&``. Those follow an
operand, and no parameter does: ``data ? 'key'`` and ``data ?| $names`` are operators, ``id = ?``,
``(?, ?)`` and ``LIMIT ?`` parameters. After a word it is an operator unless the word is one of
:data:`BEFORE_EXPRESSION`. A ``?`` in a longer operator (``@?``, ``?-|``) stays itself, but ``=?``,
``||?`` and the like end with a parameter.
"""

from __future__ import annotations

import re
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")

KNOWN_STATEMENTS: Final = 2048
"""What is remembered of statements, by their texts."""

MAX_KNOWN_CHARACTERS: Final = 16_384
"""Longer statements are read each time: a script of data is no text that comes again."""


def remembered(function: Callable[..., T]) -> Callable[..., T]:
    """Remember what a function of a statement's text, and of little else, returns."""
    known = lru_cache(KNOWN_STATEMENTS)(function)

    @wraps(function)
    def call(sql: str, *more: Any) -> T:
        return known(sql, *more) if len(sql) <= MAX_KNOWN_CHARACTERS else function(sql, *more)

    return call


BEFORE_EXPRESSION: Final = frozenset({
    "all", "and", "any", "array", "as", "asc", "between", "by", "call", "case", "cast", "check",
    "collate", "cross", "default", "desc", "distinct", "do", "else", "escape", "except", "exists",
    "explain", "fetch", "filter", "first", "following", "for", "from", "full", "group", "having",
    "ilike", "in", "inner", "insert", "intersect", "interval", "into", "is", "isnull", "join",
    "lateral", "left", "like", "limit", "natural", "next", "not", "notnull", "nulls", "of",
    "offset", "on", "only", "or", "order", "outer", "over", "overlaps", "partition", "preceding",
    "range", "returning", "right", "row", "rows", "select", "set", "similar", "some", "symmetric",
    "then", "to", "union", "update", "using", "values", "variadic", "when", "where", "window",
    "with", "within", "zone",
})  # fmt: skip
"""Words that an expression may follow, or that are not operands."""

_TOKEN: Final = re.compile(
    r"""
    (?P<space>\s+)
    | (?P<comment>--[^\n\r]*)
    | (?P<block>/\*)
    | (?P<escaped>[eE]'(?:[^'\\]|\\.|'')*')
    | (?P<literal>(?:[uU]&|[bBxXnN])?'(?:[^']|'')*')
    | (?P<name>(?:[uU]&)?"(?:[^"]|"")*")
    | (?P<dollar>\$(?:[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_\u0080-\U0010ffff]*)?\$)
    | (?P<word>[A-Za-z_\u0080-\U0010ffff][A-Za-z0-9_$\u0080-\U0010ffff]*)
    | (?P<number>\d[\w.]*|\.\d[\w.]*)
    | (?P<operator>[-+*/<>=~!@\#%^&|`?]+)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)

_OPERANDS: Final = {"escaped", "literal", "name", "dollar", "number", "parameter"}


class Token(NamedTuple):
    """A piece of SQL. ``kind`` is a group of the expression above, ``parameter`` or ``broken``.

    A literal or comment without an end is ``broken``.
    """

    kind: str
    text: str


def tokens(sql: str) -> Iterator[Token]:
    """Split SQL into tokens; joined, they are the SQL again."""
    at, before = 0, Token("other", "")
    while at < len(sql):
        match = _TOKEN.match(sql, at)
        kind = match.lastgroup if match else None
        if match is None or kind is None:
            raise ValueError("every character is some token")
        token = Token(kind, match.group())
        if kind == "block":
            token = _comment(sql, at)
        elif kind == "dollar":
            end = sql.find(token.text, match.end())
            whole = sql[at : end + len(token.text)] if end >= 0 else sql[at:]
            token = Token("dollar" if end >= 0 else "broken", whole)
        elif kind == "operator":
            token = _operator(token.text, before)
        elif token.text in {"'", '"'}:
            token = Token("broken", sql[at:])
        yield token
        at += len(token.text)
        if token.kind not in {"space", "comment"}:
            before = token


def _comment(sql: str, at: int) -> Token:
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(sql, at):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return Token("comment", sql[at : mark.end()])
    return Token("broken", sql[at:])


def _operator(run: str, before: Token) -> Token:
    """Take the next operator, or parameter, of a run of operator characters."""
    for comment in ("--", "/*"):
        # A comment ends an operator, as on the server.
        run = run.partition(comment)[0] if comment in run[1:] else run
    mark = run.find("?")
    if mark < 0:
        return Token("operator", run)
    if mark > 0:
        # "@?" is an operator; in "=?" or "||?" the mark is a parameter.
        return Token("operator", run if run[mark - 1] == "@" else run[:mark])
    if _is_operand(before):
        operator = re.match(r"\?-\||\?[|&](?![|])|\?\#|\?-|\?", run)
        return Token("operator", operator.group() if operator else run)
    return Token("parameter", "?")


def _is_operand(token: Token) -> bool:
    if token.kind == "word":
        return token.text.lower() not in BEFORE_EXPRESSION
    return token.kind in _OPERANDS or token.text in {")", "]"}


@remembered
def number_parameters(sql: str) -> tuple[str, int]:
    """Return SQL with ``$1``, ``$2`` … for its parameters, and their number."""
    pieces: list[str] = []
    count = 0
    for token in tokens(sql):
        if token.kind == "parameter":
            count += 1
            # Spaces keep it apart from a word or number beside it.
            pieces.append(f" ${count} ")
        else:
            pieces.append(token.text)
    return "".join(pieces), count


@remembered
def first_words(sql: str) -> tuple[str, ...]:
    """Return up to four words that a statement begins with, in lower case."""
    found: list[str] = []
    for token in tokens(sql):
        if token.kind == "word":
            found.append(token.text.lower())
        elif token.kind not in {"space", "comment"} and token.text not in {";", "("}:
            break
        if len(found) == 4:
            break
    return tuple(found)


def split_script(script: str) -> Iterator[str]:
    """Yield the statements of a script, without those of only comments."""
    statement: list[Token] = []
    for token in tokens(script):
        if token.text == ";" and token.kind == "other":
            if any(one.kind not in {"space", "comment"} for one in statement):
                yield "".join(one.text for one in statement).strip()
            statement = []
        else:
            statement.append(token)
    if any(one.kind not in {"space", "comment"} for one in statement):
        yield "".join(one.text for one in statement).strip()
