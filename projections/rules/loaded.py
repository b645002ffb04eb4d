"""Compares the rules that an engine runs with those that it should run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from projections.rules.given_states import check_state
from projections.rules.loaded_report import MOST_NAMED, LoadedReport, name_rejected, shorten
from projections.rules.model import CompiledRule, RuleState
from projections.rules.rule_set import (
    OTHER,
    RuleEntry,
    compare_sets,
    set_hash,
    state_word,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from projections.rules.rule_set import Intended, RuleSet
    from projections.rules.rule_types import RuleTypes

FIELDS: Final = tuple(name for name in CompiledRule._fields if name not in {"rule_id", "state"})


class _Judged(NamedTuple):
    """Whether a rule with these parts is the one that was defined there."""

    where: tuple[str, int]
    parts: tuple[Any, ...]
    same: bool


class Engine(NamedTuple):
    """Who reports: names of the engine and its version, and ``host:pid``."""

    name: str
    version: str
    process: str


class LoadedRules:
    """The comparison of one worker: a rule that is the same object as before is not read again.

    ``types`` are the classes in which its rules were handed out.
    """

    def __init__(self, types: RuleTypes) -> None:
        self._types = types
        self._judged: dict[str, _Judged] = {}

    def report(
        self,
        intended: Intended,
        rule_of: Callable[[str], CompiledRule | None],
        loaded: Iterable[Any],
        rejected: Mapping[str, object],
        engine: Engine,
        now: datetime,
    ) -> LoadedReport:
        """Return what is loaded, compared with what is intended.

        ``loaded`` are rules as they were handed out, or their ids; ``rule_of`` returns the intended
        rule of an id. Raises InvalidInputError where a rule has no state.
        """
        wanted = intended.rules
        rules: RuleSet = {}
        judged: dict[str, _Judged] = {}
        for given in loaded:
            if isinstance(given, str):
                rules[given] = wanted.get(given) or RuleEntry(*OTHER)
                continue
            rule_id = given.rule_id
            one = judged[rule_id] = self._judge(given, wanted.get(rule_id), rule_of)
            where = one.where if one.same else OTHER
            rules[rule_id] = RuleEntry(*where, _word_of(given.state, now))
        self._judged = judged
        differs = compare_sets(wanted, rules)
        return LoadedReport(
            intended.position,
            set_hash(rules),
            len(rules),
            name_rejected(rejected.items()),
            len(rejected),
            tuple(differs[:MOST_NAMED]),
            len(differs),
            shorten(engine.name),
            shorten(engine.version),
            engine.process,
        )

    def _judge(
        self,
        given: Any,
        intended: RuleEntry | None,
        rule_of: Callable[[str], CompiledRule | None],
    ) -> _Judged:
        where = OTHER if intended is None else intended[:2]
        parts = _parts(given)
        known = self._judged.get(given.rule_id)
        if known is not None and known.where == where and _are_same(known.parts, parts):
            return known
        rule = None if intended is None else rule_of(given.rule_id)
        same = rule is not None and _parts(self._types.build_rule(rule)) == parts
        return _Judged(where, parts, same)


def _parts(rule: Any) -> tuple[Any, ...]:
    return tuple([getattr(rule, name) for name in FIELDS])


def _are_same(one: tuple[Any, ...], other: tuple[Any, ...]) -> bool:
    return all(a is b for a, b in zip(one, other, strict=True))


def _word_of(state: Any, now: datetime) -> str:
    given = state if type(state) is RuleState else check_state(state, "engine", now)
    return state_word(given, now)
