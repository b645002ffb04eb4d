"""The documents of a Sigma file: which rules they spell out, and under which ids."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from eventstore.log.names import canonical_uuid
from projections.rules.formats._fields import Fields, show
from projections.rules.formats._yaml_safe import MAX_WEIGHT, VALUE_WEIGHT
from projections.rules.formats.base import RuleFormatError, check_rule_id

if TYPE_CHECKING:
    from projections.rules.formats._yaml_safe import Document

MAX_SUFFIX: Final = 100
"""Longest addition to an id that several rules of a file share, in characters."""


@dataclass(frozen=True, slots=True)
class SigmaDocument:
    """One rule of a file: its fields, what kind it is, and whether its id is its own.

    ``own_id`` is False where the id comes from a global document or from the rule repeated.
    """

    fields: Fields
    kind: str
    own_id: bool


def expand(path: str, documents: list[Document]) -> list[SigmaDocument]:
    """Apply the ``action`` of each document and return the rules that result, at least one.

    ``global`` gives its fields to every detection after it, and prevails where both have
    one; several add up. ``reset`` forgets them; ``repeat`` is the rule before it with some
    fields changed. Mappings are merged key by key, everything else is replaced. A correlation
    or filter takes nothing from ``global``. A ``global`` that nothing follows is a rule by
    itself. Raises :class:`RuleFormatError`, also where a few documents would multiply into
    more than could be stored.
    """
    if len(documents) == 1:  # By far the most, and nothing in it can multiply.
        return [_only_document(path, documents[0])]
    weight = 0
    shared: dict[str, Any] = {}
    rules: list[tuple[Document, dict[str, Any], bool]] = []
    for document in documents:
        body, action = _split_action(path, document)
        own_id = "id" in body
        if action == "global":
            shared = _merged(shared, body)
        elif action == "reset":
            shared = {}
        elif action == "repeat":
            before = rules[-1][1] if rules else shared
            rules.append((document, _merged(before, body), own_id))
        elif shared and kind_of(body) == "detection":
            rules.append((document, _merged(body, shared), own_id and "id" not in shared))
        else:
            rules.append((document, body, own_id))
        weight += _weigh(rules[-1][1] if rules else shared)
        if weight > MAX_WEIGHT:
            raise RuleFormatError(path, "is too large once its documents are merged", document.line)
    if shared and not rules:
        rules.append((documents[-1], shared, True))
    if not rules:
        raise RuleFormatError(path, "contains no Sigma rule")
    return [
        SigmaDocument(_as_fields(path, document, body), kind_of(body), own_id)
        for document, body, own_id in rules
    ]


def _only_document(path: str, document: Document) -> SigmaDocument:
    body, action = _split_action(path, document)
    if action == "reset":
        raise RuleFormatError(path, "contains no Sigma rule")
    return SigmaDocument(_as_fields(path, document, body), kind_of(body), own_id=True)


def kind_of(body: dict[str, Any]) -> str:
    """Return which kind of document this is; a detection unless it says otherwise."""
    if "correlation" in body:
        return "correlation"
    return "filter" if "filter" in body else "detection"


def rule_ids(path: str, rules: list[SigmaDocument]) -> list[str]:
    """Return the id of each rule of a file: its own, or one derived from what they share.

    A rule without an id is known by the file's path. Where several rules share one id, or the
    path, the first of them has it as it is, detections before correlations, and the others
    add their name, title or log source. The order in the file makes no difference. Raises
    :class:`RuleFormatError` for an id that cannot be used, and for one that is written twice.
    """
    if len(rules) == 1:
        return [_written_id(path, rules[0].fields)]
    sharing: dict[str, list[int]] = defaultdict(list)
    owners: set[str] = set()
    for index, rule in enumerate(rules):
        rule_id = _written_id(path, rule.fields)
        if rule.own_id and rule_id != path:
            if rule_id in owners:
                raise rule.fields.error("id", f"{rule_id!r:.80} is given twice in this file")
            owners.add(rule_id)
        sharing[rule_id].append(index)
    ids = [""] * len(rules)
    for rule_id, members in sharing.items():
        for index, one in zip(members, _told_apart(path, rule_id, rules, members), strict=True):
            ids[index] = one
    if len(set(ids)) < len(ids):
        raise RuleFormatError(path, "has two rules with one id: give each its own")
    return ids


def canonical_id(text: str) -> str:
    """Return a UUID in its canonical spelling, and any other text as it is."""
    return canonical_uuid(text) or text


def _written_id(path: str, fields: Fields) -> str:
    if fields.mapping.get("id") is None:
        return check_rule_id(path, path)
    return check_rule_id(path, canonical_id(fields.text("id").strip()))


def _told_apart(
    path: str, rule_id: str, rules: list[SigmaDocument], members: list[int]
) -> list[str]:
    if len(members) == 1:
        return [rule_id]
    suffixes = _suffixes([rules[index] for index in members])
    first = min(
        range(len(members)),
        # The rule that wrote the id has it, at any place in the file.
        key=lambda at: (
            not _writes_id(rules[members[at]]),
            rules[members[at]].kind != "detection",
            suffixes[at],
        ),
    )
    return [
        rule_id if at == first else check_rule_id(path, f"{rule_id}#{suffix}")
        for at, suffix in enumerate(suffixes)
    ]


def _writes_id(rule: SigmaDocument) -> bool:
    return rule.own_id and rule.fields.mapping.get("id") is not None


def _suffixes(rules: list[SigmaDocument]) -> list[str]:
    """Return what tells these rules apart: name, title, log source, and a number at last."""
    suffixes = []
    counts: dict[str, int] = defaultdict(int)
    for parts in _distinctive(rules):
        text = " ".join(parts)
        if len(text) > MAX_SUFFIX or not text.isprintable():
            text = hashlib.sha256(text.encode()).hexdigest()[:16]
        counts[text] += 1
        suffixes.append(text if counts[text] == 1 else f"{text}~{counts[text]}")
    return suffixes


def _distinctive(rules: list[SigmaDocument]) -> list[list[str]]:
    """Return name or title of each rule, and its log source where that is not enough."""
    called = [_called(rule.fields.mapping) for rule in rules]
    return [
        [one] if called.count(one) == 1 else [one, _log_source(rule.fields.mapping)]
        for one, rule in zip(called, rules, strict=True)
    ]


def _called(mapping: dict[str, Any]) -> str:
    for key in ("name", "title"):
        if isinstance(value := mapping.get(key), str) and value.strip():
            return value.strip()
    return ""


def _log_source(mapping: dict[str, Any]) -> str:
    source = mapping.get("logsource")
    if not isinstance(source, dict):
        return "any"
    values = (source[key] for key in ("category", "product", "service") if key in source)
    return "/".join(str(value).lower() for value in values) or "any"


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
