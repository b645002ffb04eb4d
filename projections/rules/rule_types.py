"""The classes in which a rule store hands out rules and states: ours, or the caller's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from eventstore.errors import ConfigError
from projections.rules.model import CompiledRule, RuleChange, RuleState, removed_rule

Maker: TypeAlias = Callable[..., Any]
"""A class, or any callable that takes the fields by their names."""

_STATE_FIELDS: Final = tuple(one.name for one in fields(RuleState))
_STATE_SAMPLES: Final[dict[str, RuleState]] = {
    "": RuleState(),
    "state": RuleState("disabled"),
    "confidence_max": RuleState("clipped", confidence_max=0.5),
    "expires_at": RuleState("disabled", expires_at=datetime(2030, 1, 1, tzinfo=UTC)),
    "reason": RuleState("disabled", reason="noisy"),
    "set_by": RuleState("disabled", set_by="ana"),
    "set_at": RuleState("disabled", set_at=datetime(2030, 1, 1, tzinfo=UTC)),
}
_EMITS: Final = (("T1059", None, "execution", 0.5), ("T1059", "T1059.001", "execution", 1))
_RULE_SAMPLES: Final[dict[str, CompiledRule]] = {
    "": removed_rule("R1"),
    "applies_to": removed_rule("R1")._replace(applies_to=frozenset({"process"})),
    "match_spec": removed_rule("R1")._replace(match_spec={"all": [{"field": "x"}]}),
    "emits": removed_rule("R1")._replace(emits=_EMITS),
    "evidence_fields": removed_rule("R1")._replace(evidence_fields=("host",)),
    "description": removed_rule("R1")._replace(description="why"),
}
"""Values by the field that differs from those of the first one."""


@dataclass(frozen=True, slots=True)
class RuleTypes:
    """The classes that a rule store builds, for engines that test ``isinstance`` with their own.

    ``compiled`` takes the fields of :class:`~projections.rules.CompiledRule` by their names,
    ``state`` those of :class:`~projections.rules.RuleState`; the rule's ``state`` is of the latter
    class. Either may also be a function. A store raises ConfigError, naming the field, for what
    cannot be called so.
    """

    compiled: Maker = CompiledRule
    state: Maker = RuleState

    def build_state(self, state: RuleState) -> Any:
        """Return a state as the caller's class."""
        if self.state is RuleState:
            return state
        return self.state(**{name: getattr(state, name) for name in _STATE_FIELDS})

    def build_rule(self, rule: CompiledRule) -> Any:
        """Return a rule as the caller's class, its state too."""
        if self == OWN_TYPES:
            return rule
        return self.compiled(**rule._replace(state=self.build_state(rule.state))._asdict())

    def build_rules(self, rules: list[CompiledRule]) -> list[Any]:
        """Return rules as the caller's class."""
        return rules if self == OWN_TYPES else [self.build_rule(rule) for rule in rules]

    def build_change(self, change: RuleChange) -> RuleChange:
        """Return a change whose value is of the caller's class."""
        value = change.new_value
        if isinstance(value, CompiledRule):
            return change._replace(new_value=self.build_rule(value))
        return change._replace(new_value=self.build_state(value))

    def build_commit(self, changes: list[RuleChange]) -> list[RuleChange]:
        """Return the changes of a commit with values of the caller's classes."""
        return [self.build_change(change) for change in changes]


OWN_TYPES: Final = RuleTypes()


def check_types(types: RuleTypes | None) -> RuleTypes:
    """Return the types, our own for ``None``; raise ConfigError for classes of another shape."""
    if types is None or types == OWN_TYPES:
        return OWN_TYPES
    if not isinstance(types, RuleTypes):
        raise ConfigError(f"types={types!r:.80}: give RuleTypes(compiled=…, state=…)")
    _check("state", types.state, _STATE_FIELDS, _STATE_SAMPLES, types.build_state)
    _check("compiled", types.compiled, CompiledRule._fields, _RULE_SAMPLES, types.build_rule)
    return types


def _check(
    what: str, make: Any, names: tuple[str, ...], samples: dict[str, Any], build: Maker
) -> None:
    where = f"RuleTypes({what}={getattr(make, '__qualname__', repr(make)):.80})"
    if not callable(make):
        raise ConfigError(f"{where}: give a class that takes {', '.join(names)}")
    _check_signature(where, make, names)
    for varied, sample in samples.items():
        field = f"the field {varied!r}" if varied else "an instance"
        try:
            built = build(sample)
        except Exception as error:
            raise ConfigError(f"{where}: {field} cannot be built: {error!r:.200}") from error
        for name in names:
            if not hasattr(built, name):
                raise ConfigError(f"{where}: an instance has no field {name!r}")


def _check_signature(where: str, make: Maker, names: tuple[str, ...]) -> None:
    try:
        parameters = inspect.signature(make).parameters.values()
    except (TypeError, ValueError):
        return  # Written in C: building a sample tells.
    by_name = {
        one.name: one
        for one in parameters
        if one.kind in {one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD}
    }
    open_ended = any(one.kind is one.VAR_KEYWORD for one in parameters)
    for name in names:
        if name not in by_name and not open_ended:
            raise ConfigError(f"{where}: it takes no field {name!r} by its name")
    for one in parameters:
        optional = one.default is not one.empty or one.kind in {one.VAR_KEYWORD, one.VAR_POSITIONAL}
        if not optional and one.name not in names:
            raise ConfigError(f"{where}: it needs a field {one.name!r}, which the store has not")
