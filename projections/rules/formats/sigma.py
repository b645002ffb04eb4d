"""Sigma detection rules, of the generations from 2016 on (https://sigmahq.io/docs).

What a Sigma file has no word for is derived, always in the same way:

- The rule's id is its ``id``; in a file of several documents the first one given; without
  any, as in rules from before 2019, the file's relative path.
- ``applies_to`` holds ``key:value`` for each entry of ``logsource`` but its definition, in
  lower case (``product:windows``); a rule without a log source applies to ``any``.
- ``match_spec`` is the ``detection`` as written. A file of several rules is one rule of
  this store: ``{"collection": [{"logsource": …, "detection": …}, …]}``, of which any may
  match. A correlation gives ``{"correlation": …}`` and applies to ``correlation``.
- ``emits`` pairs every technique tag (``attack.t1059.001``) with every tactic tag, since
  Sigma does not say which belongs to which; without a tactic tag it is ``unknown``.
- A finding's confidence follows ``level``: see :data:`CONFIDENCE`.
- ``rule_version`` is the rule's ``version``, which few authors state, or 1.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from projections.rules.formats import _yaml_safe as yaml_safe
from projections.rules.formats._fields import Fields, show
from projections.rules.formats._sigma_collection import expand
from projections.rules.formats.base import ParsedRule, RuleFormatError, check_rule_id
from projections.rules.model import CompiledRule, RuleState

if TYPE_CHECKING:
    from projections.rules.model import Emit

CONFIDENCE: Final = {
    "informational": 0.1,
    "low": 0.25,
    "medium": 0.5,
    "high": 0.75,
    "critical": 0.95,
}
"""Confidence by ``level``: our own even steps, since Sigma gives no figures. Rules from
before levels had names state a number of percent; a rule without a level is medium."""

TACTICS: Final = frozenset(
    {
        "reconnaissance",
        "resource-development",
        "initial-access",
        "execution",
        "persistence",
        "privilege-escalation",
        "defense-evasion",
        "credential-access",
        "discovery",
        "lateral-movement",
        "collection",
        "command-and-control",
        "exfiltration",
        "impact",
        "evasion",
        "inhibit-response-function",
        "impair-process-control",
    }
)
"""Short names of MITRE ATT&CK's tactics (v16, Enterprise and ICS)."""

UNKNOWN_TACTIC: Final = "unknown"
ANY_SOURCE: Final = "any"
CORRELATION: Final = "correlation"

_TECHNIQUE: Final = re.compile(r"attack\.(t\d{4})(\.\d{3})?", re.IGNORECASE)


class _Part(NamedTuple):
    """One rule of a file; most files have exactly one."""

    applies_to: frozenset[str]
    match_spec: dict[str, Any]
    emits: list[Emit]


class SigmaFormat:
    """Sigma rules: one file is one rule, collections included."""

    name: Final = "sigma"
    filename: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]*\.ya?ml")

    def read(self, path: str, content: bytes) -> ParsedRule:
        """Compile one file; RuleFormatError says what makes it no valid Sigma."""
        documents = yaml_safe.load_all(path, content)
        if not documents:
            raise RuleFormatError(path, "is empty")
        rules = expand(path, documents)
        first = rules[0]
        parts = [_compile_part(rule, whole=len(rules) == 1) for rule in rules]
        rule_id = _rule_id(path, rules)
        compiled = CompiledRule(
            rule_id=rule_id,
            rule_version=first.version("version") if "version" in first.mapping else 1,
            name=first.text("title"),
            applies_to=frozenset[str]().union(*(part.applies_to for part in parts)),
            match_spec=parts[0].match_spec if len(parts) == 1 else _collection(parts),
            emits=tuple(dict.fromkeys(emit for part in parts for emit in part.emits)),
            evidence_fields=tuple(
                dict.fromkeys(name for rule in rules for name in rule.optional_texts("fields"))
            ),
            state=RuleState(),
            description=first.optional_text("description") or "",
        )
        return ParsedRule(rule_id, compiled)


def _collection(parts: list[_Part]) -> dict[str, Any]:
    return {"collection": [part.match_spec for part in parts]}


def _rule_id(path: str, rules: list[Fields]) -> str:
    for rule in rules:
        if rule.mapping.get("id") is not None:
            return check_rule_id(path, rule.text("id"))
    return check_rule_id(path, path)


def _compile_part(rule: Fields, *, whole: bool) -> _Part:
    """Check one rule and compile it; ``whole`` where it is its file's only one."""
    rule.text("title")
    emits = _read_emits(rule)
    if "correlation" in rule.mapping and "detection" not in rule.mapping:
        correlation = rule.child("correlation")
        correlation.text("type")
        spec = {"correlation": correlation.mapping}
        return _Part(frozenset({CORRELATION}), spec, emits)
    detection = _read_detection(rule)
    logsource = {} if rule.mapping.get("logsource") is None else rule.mapping_at("logsource")
    spec = detection if whole else {"logsource": logsource, "detection": detection}
    return _Part(_applies_to(logsource), spec, emits)


def _read_detection(rule: Fields) -> dict[str, Any]:
    """Return the detection: a condition, and something for it to speak of."""
    detection = rule.child("detection")
    if isinstance(detection.required("condition"), list):
        conditions = detection.texts("condition")
    else:
        conditions = [detection.text("condition")]
    if not any(condition.strip() for condition in conditions):
        raise detection.error("condition", "is empty")
    if detection.mapping.keys() <= {"condition", "timeframe"}:
        raise rule.error("detection", "has a condition, but nothing to search for")
    return detection.mapping


def _applies_to(logsource: dict[str, Any]) -> frozenset[str]:
    """Name the log source. Old rules used keys of their own, hence no fixed list."""
    return frozenset(
        f"{key}:{value.lower()}"
        for key, value in logsource.items()
        if isinstance(value, str) and not key.startswith(("definition", "description"))
    ) or frozenset({ANY_SOURCE})


def _read_emits(rule: Fields) -> list[Emit]:
    confidence = _read_confidence(rule)
    techniques: dict[tuple[str, str | None], None] = {}  # ordered and distinct
    tactics: dict[str, None] = {}
    for tag in rule.optional_texts("tags"):
        tactic = tag.lower().removeprefix("attack.").replace("_", "-")
        if tactic in TACTICS:
            tactics[tactic] = None
        elif found := _TECHNIQUE.fullmatch(tag):
            technique = found[1].upper()
            techniques[technique, technique + found[2] if found[2] else None] = None
    return [
        (technique, sub_technique, tactic, confidence)
        for technique, sub_technique in techniques
        for tactic in tactics or [UNKNOWN_TACTIC]
    ]


def _read_confidence(rule: Fields) -> float:
    level = rule.mapping.get("level")
    if level is None:
        return CONFIDENCE["medium"]
    if isinstance(level, str) and level.lower() in CONFIDENCE:
        return CONFIDENCE[level.lower()]
    if not isinstance(level, str | bool | dict | list) and 0 <= level <= 100:
        return float(level / 100)
    raise rule.error(
        "level", f"must be one of {', '.join(CONFIDENCE)}, or a percentage, not {show(level)}"
    )
