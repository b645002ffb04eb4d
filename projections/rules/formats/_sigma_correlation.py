"""Sigma correlations and filters: what they say, and which rules they refer to."""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

from projections.rules.formats._fields import show
from projections.rules.formats._sigma_condition import condition_fault

if TYPE_CHECKING:
    from projections.rules.formats._fields import Fields

TEMPORAL: Final = frozenset({"temporal", "temporal_ordered"})
TYPES: Final = TEMPORAL | {
    "event_count",
    "value_count",
    "value_sum",
    "value_avg",
    "value_percentile",
    "value_median",
}
"""The types of correlations."""

OPERATORS: Final = frozenset({"gt", "gte", "lt", "lte", "eq", "neq"})

_TIMESPAN: Final = re.compile(r"0*[1-9][0-9]*[smhdwMy]")
_WORD: Final = re.compile(r"[A-Za-z_]\w*")


def read_correlation(rule: Fields) -> tuple[dict[str, Any], tuple[str, ...], bool]:
    """Return the correlation, what it refers to, and whether those rules fire by themselves.

    Raises RuleFormatError for what the specification does not have.
    """
    correlation = rule.child("correlation")
    kind = correlation.text("type").lower()
    if kind not in TYPES:
        raise correlation.error("type", f"must be one of {', '.join(sorted(TYPES))}, not {kind!r}")
    timespan = correlation.required("timespan")
    if not isinstance(timespan, str) or not _TIMESPAN.fullmatch(timespan):
        reason = f"must be a number and one of s, m, h, d, w, M, y, not {show(timespan)}"
        raise correlation.error("timespan", reason)
    generate = correlation.mapping.get("generate")
    if generate is not None and not isinstance(generate, bool):
        raise correlation.error("generate", f"must be true or false, not {show(generate)}")
    if isinstance(group := correlation.mapping.get("group-by"), dict | bool | int | float):
        raise correlation.error("group-by", f"must be a text or a list, not {show(group)}")
    if correlation.mapping.get("aliases") is not None:
        aliases = correlation.child("aliases")
        for alias in aliases.mapping:
            aliases.mapping_at(alias)
    words = _check_condition(correlation, kind)
    references = _references(correlation, words if kind in TEMPORAL else None)
    return correlation.mapping, references, bool(generate)


def read_filter(rule: Fields) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the filter and what it refers to; nothing where it is for any rule."""
    body = rule.child("filter")
    rules = body.required("rules")
    if rules == [] or (isinstance(rules, str) and rules.lower() == "any"):
        return body.mapping, ()
    return body.mapping, _references(body, None)


def _references(fields: Fields, instead: list[str] | None) -> tuple[str, ...]:
    rules = fields.mapping.get("rules")
    if rules is None and instead:
        return tuple(dict.fromkeys(instead))
    found = [fields.text("rules")] if isinstance(rules, str) else fields.texts("rules")
    if not found or not all(one.strip() for one in found):
        raise fields.error("rules", "names no rule")
    return tuple(dict.fromkeys(one.strip() for one in found))


def _check_condition(correlation: Fields, kind: str) -> list[str]:
    """Check the condition; return the rules that it names, where it is an expression."""
    value = correlation.mapping.get("condition")
    if value is None and kind in TEMPORAL:
        return []
    if isinstance(value, str) and kind in TEMPORAL:
        words = [word for word in _WORD.findall(value) if word.lower() not in ("and", "or", "not")]
        if fault := condition_fault(value, words):
            raise correlation.error("condition", fault)
        return words
    condition = correlation.child("condition")
    operators = condition.mapping.keys() & OPERATORS
    unknown = condition.mapping.keys() - OPERATORS - {"field", "percentile"}
    if len(operators) != 1 or unknown:
        raise correlation.error(
            "condition", f"must have exactly one of {', '.join(sorted(OPERATORS))}"
        )
    count = condition.mapping[operators.pop()]
    if not _is_number(count):
        raise correlation.error("condition", f"compares with {show(count)}, which is no number")
    return []


def _is_number(value: object) -> bool:
    """Whether a value is a finite number, or the text of one."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return False
    try:
        return math.isfinite(float(value))
    except (ValueError, OverflowError):
        return False
