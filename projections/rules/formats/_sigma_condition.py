"""Checking a Sigma condition: that it parses, and speaks of selections that are there.

The grammar is that of the specification, with what older tools took besides: keywords in any
case, and an aggregation after ``|``. Nothing is evaluated.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Collection

NO_SELECTIONS: Final = frozenset({"condition", "timeframe"})
"""Keys of a detection that are no selections."""

_OPEN: Final = "("
_CLOSE: Final = ")"
_TOKEN: Final = re.compile(r"[()|]|[^\s()|]+")
_NAME: Final = re.compile(r"[\w-]+")
_QUANTIFIER: Final = re.compile(r"any|all|[1-9]\d{0,5}", re.IGNORECASE)
_AGGREGATION: Final = re.compile(r"\s*(?:count|min|max|avg|sum)\s*\(|\s*near\s", re.IGNORECASE)


def condition_fault(condition: str, selections: Collection[str]) -> str | None:
    """Return what is wrong with a condition over these selections, None if nothing is."""
    if condition in selections:
        return None  # By far the most.
    expression, pipe, aggregation = condition.partition("|")
    if pipe and not _AGGREGATION.match(aggregation):
        return f"has {aggregation.strip()!r:.40} after '|', which is no aggregation"
    return _Check(_TOKEN.findall(expression), selections).fault()


class _Check:
    """One pass over the tokens, which are either where an operand or an operator belongs."""

    def __init__(self, tokens: list[str], selections: Collection[str]) -> None:
        self._tokens = tokens
        self._selections = selections
        self._at = 0
        self._open = 0

    def fault(self) -> str | None:
        """Return the first fault."""
        operand_next = True
        while self._at < len(self._tokens):
            token = self._tokens[self._at]
            word = token.lower()
            self._at += 1
            if operand_next:
                if word == "not":
                    continue
                if token == _OPEN:
                    self._open += 1
                    continue
                if fault := self._operand(token, word):
                    return fault
                operand_next = False
            elif token == _CLOSE and self._open:
                self._open -= 1
            elif word in ("and", "or"):
                operand_next = True
            else:
                return f"does not parse: {token!r:.40} stands where 'and' or 'or' is expected"
        if operand_next:
            return "does not parse: it ends where a selection is expected"
        return "does not parse: a parenthesis is not closed" if self._open else None

    def _operand(self, token: str, word: str) -> str | None:
        following = self._tokens[self._at : self._at + 2]
        if following and following[0].lower() == "of" and _QUANTIFIER.fullmatch(token):
            if len(following) < 2:
                return f"does not parse: '{token} of' is followed by nothing"
            self._at += 2
            return self._group(token, following[1])
        if token in self._selections:
            return None
        if word in ("and", "or", _CLOSE) or not _NAME.fullmatch(token):
            return f"does not parse: {token!r:.40} stands where a selection is expected"
        return f"speaks of {token!r:.80}, and there is no such selection"

    def _group(self, quantifier: str, pattern: str) -> str | None:
        if pattern.lower() == "them":
            return None
        if pattern in (_OPEN, _CLOSE):
            return f"does not parse: {pattern!r} stands where selections are named"
        matching = re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
        if any(
            matching.fullmatch(name) and (pattern.startswith("_") or not name.startswith("_"))
            for name in self._selections
        ):
            return None
        return f"speaks of '{quantifier} of {pattern:.80}', and no selection has such a name"
