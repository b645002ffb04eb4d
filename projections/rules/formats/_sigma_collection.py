"""Sigma files of several documents: which rules they spell out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.rules.formats._fields import Fields, show
from projections.rules.formats._yaml_safe import MAX_WEIGHT, VALUE_WEIGHT
from projections.rules.formats.base import RuleFormatError

if TYPE_CHECKING:
    from projections.rules.formats._yaml_safe import Document


def expand(path: str, documents: list[Document]) -> list[Fields]:
    """Apply the ``action`` of each document and return the rules that result, at least one.

    ``global`` gives its fields to every document after it, and prevails where both have
    one; ``reset`` forgets them; ``repeat`` is the rule before it with some fields changed.
    Mappings are merged key by key, everything else is replaced: the semantics of Sigma's
    first tool, sigmac. A ``global`` that nothing follows is a rule by itself, where sigmac
    makes no rule of it without a word. Raises :class:`RuleFormatError`, also where a few
    documents would multiply into more than could be stored.
    """
    weight = 0
    shared: dict[str, Any] = {}
    rules: list[tuple[Document, dict[str, Any]]] = []
    for document in documents:
        body, action = _split_action(path, document)
        if action == "global":
            shared = _merged(shared, body)
        elif action == "reset":
            shared = {}
        elif action == "repeat":
            if not rules:
                raise RuleFormatError(path, "action: repeat needs a rule before it", document.line)
            rules.append((document, _merged(rules[-1][1], body)))
        else:
            rules.append((document, _merged(body, shared) if shared else body))
        weight += _weigh(rules[-1][1] if rules else shared)
        if weight > MAX_WEIGHT:
            raise RuleFormatError(path, "is too large once its documents are merged", document.line)
    if shared and not rules:
        rules.append((documents[-1], shared))
    if not rules:
        raise RuleFormatError(path, "contains no Sigma rule")
    return [_as_fields(path, document, body) for document, body in rules]


def _split_action(path: str, document: Document) -> tuple[dict[str, Any], str | None]:
    value = document.value
    if not isinstance(value, dict):
        reason = f"a Sigma rule must be a mapping, not {show(value)}"
        raise RuleFormatError(path, reason, document.line)
    action = value.get("action")
    if action is None:
        return value, None
    if action not in ("global", "reset", "repeat"):
        line = document.line_of(value, "action")
        reason = f"action must be global, reset or repeat, not {show(action)}"
        raise RuleFormatError(path, reason, line)
    return {key: inner for key, inner in value.items() if key != "action"}, action


def _merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in over.items():
        below = result.get(key)
        if isinstance(below, dict) and isinstance(value, dict):
            result[key] = _merged(below, value)
        else:
            result[key] = value
    return result


def _weigh(value: Any) -> int:
    """Return what a value weighs, or something above MAX_WEIGHT once that is passed."""
    weight, waiting = 0, [value]
    while waiting and weight <= MAX_WEIGHT:
        part = waiting.pop()
        weight += VALUE_WEIGHT
        if isinstance(part, str):
            weight += len(part)
        elif isinstance(part, list):
            waiting += part
        elif isinstance(part, dict):
            waiting += [*part, *part.values()]
    return weight


def _as_fields(path: str, document: Document, body: dict[str, Any]) -> Fields:
    title = body.get("title")
    owner = f"rule {title!r:.80}" if isinstance(title, str) else "rule"
    return Fields(path, document, body, owner=owner)
