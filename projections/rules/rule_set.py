r"""A set of rules with their states as one hash, and what differs between two sets.

The set's hash is the SHA-256 of one line for each rule, in the order of the ids' UTF-8 bytes::

    SHA256 POSITION STATE BYTES:ID\n

``SHA256`` is that of the rule's file, in hex, as ``RuleDefined`` and ``/v1/rules`` have it: ``-``
where they have none, ``?`` where the rule is another one than the log's. ``POSITION`` is that of
its definition in the log, or 0 with ``?``: the same file may be read as another rule later.
``STATE`` is what an engine applies now: ``enabled``, ``disabled``, ``clipped``, or ``clipped:N``
with the highest confidence as N = floor(confidence_max * 1000000 + 0.5). A state that has ended
counts as ``enabled``. ``BYTES`` is how many bytes of UTF-8 the id has.
"""

from __future__ import annotations

import math
from hashlib import sha256
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, get_args

from projections.rules.events import RULES
from projections.rules.model import RuleState
from projections.rules.rules_at import RulesAt

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from projections.rules._rule_index import RuleIndex
    from projections.rules.fold import Defined
    from projections.rules.model import CompiledRule

DifferenceWord: TypeAlias = Literal["missing", "extra", "content", "state"]
"""How a rule of one set differs from the other's."""

WORDS: Final[tuple[DifferenceWord, ...]] = get_args(DifferenceWord)

UNKNOWN_SHA: Final = "-"
OTHER: Final = ("?", 0)
"""Hash and position of a rule that is not the log's."""

_MILLION: Final = 1_000_000
_DEFAULT: Final = RuleState()


class RuleEntry(NamedTuple):
    """What counts of a rule: the hash of its file, the position of its definition, its state."""

    sha256: str
    position: int
    state: str = "enabled"


RuleSet: TypeAlias = "dict[str, RuleEntry]"
"""Rules by id."""

Contents: TypeAlias = "dict[str, tuple[int, str]]"
"""The position of each rule's definition and the hash of its file, by id."""


def state_word(state: RuleState, now: datetime) -> str:
    """Return what an engine applies of a state at ``now``, in one word."""
    if state.state == "enabled" or state.is_expired(now):
        return "enabled"
    if state.state == "clipped" and state.confidence_max is not None:
        return f"clipped:{math.floor(state.confidence_max * _MILLION + 0.5)}"
    return state.state


def set_hash(rules: Mapping[str, RuleEntry]) -> str:
    """Return the hash of a set, in hex."""
    digest = sha256()
    for rule_id in sorted(rules):  # Code points sort like their bytes.
        content, position, state = rules[rule_id]
        name = rule_id.encode()
        line = f"{content} {position} {state} {len(name)}:".encode()
        digest.update(line + name + b"\n")
    return digest.hexdigest()


def compare_sets(
    intended: Mapping[str, RuleEntry], loaded: Mapping[str, RuleEntry]
) -> list[tuple[str, DifferenceWord]]:
    """Return the rules in which ``loaded`` differs, by id; other content goes before the state."""
    found: list[tuple[str, DifferenceWord]] = []
    for rule_id in intended.keys() | loaded.keys():
        wanted, has = intended.get(rule_id), loaded.get(rule_id)
        if wanted == has:
            continue
        if has is None:
            found.append((rule_id, "missing"))
        elif wanted is None:
            found.append((rule_id, "extra"))
        else:
            found.append((rule_id, "state" if wanted[:2] == has[:2] else "content"))
    return sorted(found)


class Intended(NamedTuple):
    """The set that every worker should have: as of ``position``, the same since ``since``.

    ``held`` is the position whose definitions are in force instead; None where rules are not held.
    ``positions`` has that of the last event of each stream of a rule or a state.
    """

    position: int
    since: int
    rules: RuleSet
    held: int | None = None
    positions: Mapping[str, int] = {}

    def changed_after(self, position: int) -> list[tuple[str, str]]:
        """Return the rules that were changed or removed, or whose state was set, after a position.

        None while rules are held: their definitions wait.
        """
        found: dict[str, str] = {}
        for stream, at in self.positions.items():
            if at > position and self.held is None:
                category, _, rule_id = stream.partition("/")
                word = "changed" if rule_id in self.rules else "removed"
                if category + "/" == RULES or rule_id not in found:
                    found[rule_id] = word if category + "/" == RULES else "state"
        return sorted(found.items())

    @property
    def hash(self) -> str:
        """The hash of the set."""
        return set_hash(self.rules)


class IntendedRules:
    """Computes the intended set from an index, and decodes no definition twice for it."""

    def __init__(self) -> None:
        self._known: Contents = {}

    def of(self, index: RuleIndex, held: RulesAt | None, now: datetime) -> Intended:
        """Return the set as of the index's latest refresh; ``held`` has what is held then."""
        if held is None:
            known = self._known
            found: Contents = {}
            for rule_id, position in index.standing():
                one = known.get(rule_id)
                found[rule_id] = one if one and one[0] == position else _read(index, rule_id)
            self._known = found
        else:
            found = contents_of(held)
        rules = with_states(found, index.state, now)
        at = None if held is None else held.position
        positions = dict(index.positions())
        since = max((index.holds.changed, *positions.values()))
        return Intended(index.position, since, rules, at, positions)


def intended_rule(index: RuleIndex, held: RulesAt | None, rule_id: str) -> CompiledRule | None:
    """Return a rule of the intended set, without its state; None where it is not in it."""
    if held is not None:
        defined = held.definition(rule_id)
    else:
        known = index.definition(rule_id)
        defined = None if known is None else known[1]
    return None if defined is None else defined.compiled(_DEFAULT)


def _read(index: RuleIndex, rule_id: str) -> tuple[int, str]:
    known = index.definition(rule_id)
    if known is None:  # An index yields only what can be read.
        return 0, UNKNOWN_SHA
    return known[0].position, known[1].sha256 or UNKNOWN_SHA


def contents_of(rules: RulesAt | Iterable[tuple[int, Defined]]) -> Contents:
    """Return rules as they are defined: those of a position, or definitions with theirs."""
    if isinstance(rules, RulesAt):
        rules = [(rules.position_of(key), one) for key, one in rules.definitions().items()]
    return {one.rule_id: (position, one.sha256 or UNKNOWN_SHA) for position, one in rules}


def with_states(
    contents: Contents,
    state_of: Callable[[str], RuleState | None],
    now: datetime,
) -> RuleSet:
    """Return rules, by the position and hash of their definitions, with the states in force."""
    return {
        rule_id: RuleEntry(content, position, state_word(state_of(rule_id) or _DEFAULT, now))
        for rule_id, (position, content) in contents.items()
    }
