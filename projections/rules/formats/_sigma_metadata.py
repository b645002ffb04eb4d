"""What a Sigma rule says about itself: log source, techniques, level, version, fields."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from projections.rules.formats._fields import show

if TYPE_CHECKING:
    from projections.rules.formats._fields import Fields
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

UNPREFIXED_TACTICS: Final = frozenset(
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
"""Tactics that count without the prefix ``attack.`` too, as some old rules write them."""

UNKNOWN_TACTIC: Final = "unknown"
ANY_SOURCE: Final = "any"

_TECHNIQUE: Final = re.compile(r"attack\.(t\d{4})(\.\d{3})?", re.IGNORECASE)
_NO_TACTIC: Final = re.compile(r"(?:[tgsmc]|ds|det|an|a)\d{4}(?:\.\d{3})?")
"""Ids of ATT&CK that name no tactic: techniques, groups, software, mitigations, campaigns."""

_LEADING_NUMBER: Final = re.compile(r"\s*v?(\d{1,18})(?!\d)")


def check_keys(fields: Fields) -> None:
    """Refuse keys that look indented: no-break spaces are part of a key, and no indentation."""
    for key in fields.mapping:
        if key != key.strip():
            raise fields.error(key, "has white space around it, perhaps no-break spaces")


def read_log_source(rule: Fields) -> dict[str, Any]:
    """Return the log source, empty where there is none.

    Each value is a text or a list of texts; anything else would be left out, and the rule
    would apply to more than its author wrote.
    """
    if rule.mapping.get("logsource") is None:
        return {}
    source = rule.mapping_at("logsource")
    check_keys(rule.child("logsource"))
    for key, value in source.items():
        if value is None or _is_for_people(key):
            continue
        values = value if isinstance(value, list) else [value]
        if not values or not all(isinstance(one, str) and one.strip() for one in values):
            raise rule.child("logsource").error(
                key, f"must be a text or a list of texts, not {show(value)}"
            )
    return source


def applies_to(source: dict[str, Any]) -> frozenset[str]:
    """Name the log source, one entry per value. Old rules have keys of their own."""
    entries = []
    for key, value in source.items():
        if value is not None and not _is_for_people(key):
            values = value if isinstance(value, list) else [value]
            entries += [f"{key}:{one.lower()}" for one in values]
    return frozenset(entries) or frozenset({ANY_SOURCE})


def read_emits(rule: Fields) -> tuple[Emit, ...]:
    """Pair every technique tag with every tactic tag, which are taken as they are written."""
    confidence = _read_confidence(rule)
    techniques: dict[tuple[str, str | None], None] = {}  # ordered and distinct
    tactics: dict[str, None] = {}
    for tag in rule.optional_texts("tags"):
        if found := _TECHNIQUE.fullmatch(tag):
            technique = found[1].upper()
            techniques[technique, technique + found[2] if found[2] else None] = None
        elif tactic := _tactic(tag):
            tactics[tactic] = None
    return tuple(
        (technique, sub_technique, tactic, confidence)
        for technique, sub_technique in techniques
        for tactic in tactics or [UNKNOWN_TACTIC]
    )


def read_version(rule: Fields) -> int:
    """Return the author's version: a whole number, or the first number of a text; 1 without.

    Texts such as ``1.0.1`` are read as their first number, an empty one as none. Raises
    RuleFormatError for what has none, and for numbers below 0.
    """
    value = rule.mapping.get("version")
    if value is None or (isinstance(value, str) and not value.strip()):
        return 1
    if isinstance(value, str) and (found := _LEADING_NUMBER.match(value)):
        return int(found[1])
    if isinstance(value, int | float) and not isinstance(value, bool) and value >= 0:
        return int(value)
    raise rule.error("version", f"must begin with a whole number, not {show(value)}")


def read_evidence_fields(rule: Fields) -> tuple[str, ...]:
    """Return the distinct names in ``fields``; a number counts as the text it is."""
    value = rule.mapping.get("fields")
    if value is None:
        return ()
    return tuple(
        dict.fromkeys(
            str(one) if isinstance(one, int | float) and not isinstance(one, bool) else one
            for one in _numbers_allowed(rule)
        )
    )


def _numbers_allowed(rule: Fields) -> list[Any]:
    values = rule.entries("fields")
    for value in values:
        if not isinstance(value, str | int | float) or isinstance(value, bool):
            raise rule.error("fields", f"must be a list of texts, with {show(value)} in it")
    return values


@lru_cache(maxsize=1024)
def _tactic(tag: str) -> str | None:
    prefix, dot, name = tag.strip().lower().partition(".")
    if prefix == "attack" and dot:
        tactic = re.sub(r"[\s_]+", "-", name.strip())
        return None if not tactic or _NO_TACTIC.fullmatch(tactic) else tactic
    bare = tag.strip().lower().replace("_", "-")
    return bare if bare in UNPREFIXED_TACTICS else None


def _is_for_people(key: str) -> bool:
    return key.startswith(("definition", "description"))


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
