"""The classes that a store is given to build: what fits, and what is refused by name."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from support.their_rules import TheirRule, TheirState

from eventstore import ConfigError
from projections.rules import CompiledRule, RuleChange, RuleState, RuleTypes
from projections.rules.model import removed_rule
from projections.rules.rule_types import OWN_TYPES, check_types

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


THEIRS = RuleTypes(compiled=TheirRule, state=TheirState)


def test_rules_and_their_states_are_built_with_every_field() -> None:
    state = RuleState("clipped", 0.5, NOON, "noisy", "ana", NOON)
    rule = removed_rule("R1")._replace(
        rule_version=3, name="n", match_spec={"a": 1}, state=state, description="why"
    )
    built = check_types(THEIRS).build_rule(rule)
    assert type(built) is TheirRule
    assert built == rule._replace(state=TheirState("clipped", 0.5, NOON, "noisy", "ana", NOON))  # type: ignore[arg-type]


def test_changes_carry_values_of_the_given_classes() -> None:
    types = check_types(THEIRS)
    gone: Any = types.build_change(RuleChange("definition", "R1", removed_rule("R1"))).new_value
    assert isinstance(gone, TheirRule)
    assert (gone.rule_id, gone.applies_to, gone.emits) == (
        "R1", frozenset(), ()
    )  # fmt: skip
    (back,) = types.build_commit([RuleChange("state", "R1", RuleState())])
    assert isinstance(back.new_value, TheirState)


def test_either_may_be_left_as_it_is_or_be_a_function() -> None:
    def make(**fields: Any) -> TheirState:
        return TheirState(**{**fields, "reason": "made"})

    only_state = check_types(RuleTypes(state=make))
    rule = only_state.build_rule(removed_rule("R1"))
    assert (type(rule), rule.state) == (CompiledRule, TheirState(reason="made"))
    assert check_types(None) is check_types(RuleTypes()) is OWN_TYPES


class Longer(TheirState):
    def __init__(self, *, owner: str, **fields: Any) -> None:
        super().__init__(**fields)


class Forgetful:
    def __init__(self, **fields: Any) -> None:
        fields.pop("reason")
        self.__dict__.update(fields)


@dataclass(frozen=True)
class Strict(TheirState):
    def __post_init__(self) -> None:
        if self.expires_at is not None and self.expires_at.tzinfo is not None:
            raise ValueError("only naive times here")


REFUSED: dict[str, tuple[RuleTypes, str]] = {
    "a field too few": (
        RuleTypes(state=namedtuple("S", "state confidence_max expires_at set_by set_at")),  # noqa: PYI024
        "takes no field 'reason'",
    ),
    "a field too many": (RuleTypes(state=Longer), "needs a field 'owner'"),
    "a field that is lost": (RuleTypes(state=Forgetful), "has no field 'reason'"),
    "a value that it refuses": (RuleTypes(state=Strict), "'expires_at' cannot be built.*naive"),
    "no class": (RuleTypes(compiled=None), "takes rule_id"),  # type: ignore[arg-type]
    "a rule without description": (
        RuleTypes(compiled=namedtuple("R", CompiledRule._fields[:-1])),  # noqa: PYI024
        "takes no field 'description'",
    ),
    "an instance": (RuleTypes(state=TheirState()), "give a class"),  # type: ignore[arg-type]
    "a class in C": (RuleTypes(state=dict), "no field 'state'"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_classes_of_another_shape_are_refused_by_the_name_of_the_field(what: str) -> None:
    types, reason = REFUSED[what]
    with pytest.raises(ConfigError, match=reason):
        check_types(types)


def test_what_is_no_rule_types_is_refused() -> None:
    with pytest.raises(ConfigError, match="RuleTypes"):
        check_types(TheirRule)  # type: ignore[arg-type]
