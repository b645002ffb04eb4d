"""Sigma rules, of the generations from 2016 on (https://sigmahq.io/docs).

Every document of a file is a rule of its own. What a Sigma file has no word for is derived,
always in the same way:

- The rule's id is its ``id``, a UUID in its canonical spelling; without one, as in rules from
  before 2019, the file's relative path. Rules of one file that share an id add to it what
  tells them apart.
- ``applies_to`` holds ``key:value`` for each value of each entry of ``logsource`` but its
  definition, in lower case (``product:windows``); a rule without a log source applies to
  ``any``, a correlation to ``correlation`` and a filter to ``filter``.
- ``match_spec`` of a detection is the ``detection`` as written. A correlation gives
  ``{"correlation": …, "rules": [ID, …]}``, a filter ``{"filter": …, "logsource": …, "rules":
  [ID, …]}`` or ``"rules": "any"``, with the ids of the rules that it refers to.
- A rule that a correlation refers to does not fire by itself, unless that says ``generate``:
  it emits nothing, and its ``match_spec`` is ``{"base_of": [ID, …], "detection": …}``.
- ``emits`` pairs every technique tag (``attack.t1059.001``) with every tactic tag, since
  Sigma does not say which belongs to which; without a tactic tag it is ``unknown``.
- A finding's confidence follows ``level``: see ``_sigma_metadata.CONFIDENCE``.
- ``rule_version`` is the first number of the rule's ``version``, which few authors state, or 1.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from projections.rules.formats import _yaml_safe as yaml_safe
from projections.rules.formats._sigma_condition import NO_SELECTIONS, condition_fault
from projections.rules.formats._sigma_correlation import read_correlation, read_filter
from projections.rules.formats._sigma_documents import canonical_id, expand, rule_ids
from projections.rules.formats._sigma_metadata import (
    applies_to,
    check_keys,
    read_emits,
    read_evidence_fields,
    read_log_source,
    read_version,
)
from projections.rules.formats.base import ParsedRule, Remark, RuleFormatError, files_ending
from projections.rules.model import NO_LINKS, CompiledRule, Links, RuleState

if TYPE_CHECKING:
    from collections.abc import Mapping

    from projections.rules.formats._fields import Fields
    from projections.rules.formats._sigma_documents import SigmaDocument

CORRELATION: Final = "correlation"
FILTER: Final = "filter"
BASE_OF: Final = "base_of"

_ENABLED: Final = RuleState()

_NAME_LINE: Final = re.compile(rb"^(?:name|'name'|\"name\")\s*:", re.MULTILINE)


class SigmaFormat:
    """Sigma rules: each document of a file is a rule."""

    name: Final = "sigma"
    filename: Final = files_ending(".yml", ".yaml")

    def canonical_id(self, rule_id: str) -> str:
        """Return a UUID in its canonical spelling, and any other id as it is."""
        return canonical_id(rule_id)

    def read(self, path: str, content: bytes) -> ParsedRule:
        """Return the first rule of a file; see :meth:`read_all`."""
        return self.read_all(path, content)[0]

    def read_all(self, path: str, content: bytes) -> tuple[ParsedRule, ...]:
        """Compile one file; RuleFormatError says what makes it no valid Sigma."""
        documents = yaml_safe.load_all(path, content)
        if not documents:
            raise RuleFormatError(path, "is empty")
        rules = expand(path, documents)
        compiled = [_compile(rule) for rule in rules]
        return tuple(
            replace(rule, rule_id=rule_id, compiled=rule.compiled._replace(rule_id=rule_id))
            for rule_id, rule in zip(rule_ids(path, rules), compiled, strict=True)
        )

    def link(self, rule: ParsedRule, links: Links) -> ParsedRule:
        """Return the rule with the ids that it refers to, silent where it is a base."""
        compiled = rule.compiled
        spec = compiled.match_spec
        if links.refers_to:
            spec = {**spec, "rules": list(links.targets)}
        if links.base_of:
            inner = spec if "condition" not in spec else {"detection": spec}
            spec = {BASE_OF: list(links.base_of), **inner}
            compiled = compiled._replace(emits=())
        return replace(rule, compiled=compiled._replace(match_spec=spec), links=links)

    def is_outdated(self, match_spec: Mapping[str, Any], content: bytes) -> bool:
        """Whether version 0.1 read this file otherwise: a collection, or a rule with links."""
        if "condition" not in match_spec:
            return "collection" in match_spec or CORRELATION in match_spec
        return b"name" in content and _NAME_LINE.search(content) is not None


class _Body(NamedTuple):
    """What one document says of events and of other rules."""

    applies_to: frozenset[str]
    match_spec: dict[str, Any]
    refers_to: tuple[str, ...] = ()
    silences: bool = False
    remarks: tuple[Remark, ...] = ()


def _compile(rule: SigmaDocument) -> ParsedRule:
    """Compile one document; its id is left empty."""
    fields = rule.fields
    check_keys(fields)
    title = fields.text("title")
    name = None if fields.mapping.get("name") is None else fields.text("name").strip()
    body = _READERS[rule.kind](fields)
    compiled = CompiledRule(
        rule_id="",
        rule_version=read_version(fields),
        name=title,
        applies_to=body.applies_to,
        match_spec=body.match_spec,
        emits=read_emits(fields),
        evidence_fields=read_evidence_fields(fields),
        state=_ENABLED,
        description=fields.optional_text("description") or "",
    )
    links = NO_LINKS
    if name is not None or body.refers_to:
        # A filter may be for rules that another directory has.
        links = Links(name, body.refers_to, body.silences, optional=rule.kind == FILTER)
    return ParsedRule("", compiled, links, body.remarks)


def _read_detection(rule: Fields) -> _Body:
    source = read_log_source(rule)
    detection = rule.child("detection")
    remarks = _check_conditions(rule, detection, NO_SELECTIONS)
    return _Body(applies_to(source), detection.mapping, remarks=remarks)


def _read_correlation(rule: Fields) -> _Body:
    correlation, references, generates = read_correlation(rule)
    return _Body(
        frozenset({CORRELATION}), {CORRELATION: correlation}, references, silences=not generates
    )


def _read_filter(rule: Fields) -> _Body:
    spec: dict[str, Any] = {"logsource": read_log_source(rule)}
    spec[FILTER], references = read_filter(rule)
    if not references:
        spec["rules"] = "any"
    remarks = _check_conditions(rule, rule.child(FILTER), NO_SELECTIONS | {"rules"})
    return _Body(frozenset({FILTER}), spec, references, remarks=remarks)


_READERS: Final = {
    "detection": _read_detection,
    CORRELATION: _read_correlation,
    FILTER: _read_filter,
}


def _check_conditions(
    rule: Fields, detection: Fields, no_selections: frozenset[str]
) -> tuple[Remark, ...]:
    """Refuse a detection without a condition, or with nothing for it to speak of.

    Returns what is wrong with the conditions themselves: real repositories hold rules that no
    tool can evaluate, and these are taken as they are.
    """
    if isinstance(detection.required("condition"), list):
        conditions = detection.texts("condition")
    else:
        conditions = [detection.text("condition")]
    if not any(condition.strip() for condition in conditions):
        raise detection.error("condition", "is empty")
    selections = detection.mapping.keys() - no_selections
    if not selections:
        raise rule.error("detection", "has a condition, but nothing to search for")
    faults = [condition_fault(condition, selections) for condition in conditions]
    return tuple(detection.remark("condition", fault) for fault in faults if fault)
