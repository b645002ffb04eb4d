"""The values of the rules seam, and their exact form as JSON in the log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias, get_args

import msgspec

from eventstore.errors import InvalidInputError
from projections.seams.checks import check_number, check_optional_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore.log.events import JSON

StateName: TypeAlias = Literal["enabled", "disabled", "clipped"]
"""The states that an operator may set."""

ChangeKind: TypeAlias = Literal["definition", "state"]
"""What changed about a rule."""

Emit: TypeAlias = tuple[str, str | None, str, int | float]
"""``(technique_id, sub_technique_id, tactic, confidence)`` of one finding."""

STATE_NAMES: Final[tuple[StateName, ...]] = get_args(StateName)


def _to_utc(what: str, value: object) -> datetime | None:
    """Return a plain aware datetime in UTC: a subclass may print itself otherwise."""
    if value is None:
        return None
    try:
        if not isinstance(value, datetime) or value.utcoffset() is None:
            raise InvalidInputError(what, f"must be an aware datetime or None, not {value!r:.80}")
        utc = value.astimezone(UTC)  # UTC repeats no hour: fold is always 0.
        return datetime.combine(utc.date(), utc.time(), UTC).replace(fold=0)
    except OverflowError as error:
        raise InvalidInputError(what, f"{value} does not exist in UTC") from error
    except (NotImplementedError, TypeError, ValueError) as error:
        if isinstance(error, InvalidInputError):
            raise
        raise InvalidInputError(what, f"its time zone gives no offset: {error!r:.80}") from error


def _state_name(value: object) -> StateName:
    """Return the name of a state, given as text or as a member of an enumeration."""
    plain = value.value if isinstance(value, Enum) else value
    for name in STATE_NAMES:
        if isinstance(plain, str) and plain == name:
            known: StateName = name
            return known
    raise InvalidInputError("rule state", f"{value!r:.80} is none of {', '.join(STATE_NAMES)}")


def _parse_time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


@dataclass(frozen=True, slots=True)
class RuleState:
    """What an operator set for a rule: whether it fires, until when, and who set it.

    ``disabled`` never fires; ``clipped`` lowers a finding's confidence to
    ``confidence_max`` and never raises it. Times are aware and kept in UTC; a member of an
    enumeration is kept as its value. Raises :class:`InvalidInputError` for an unknown state, a
    naive time, a ``confidence_max`` that is not a finite number, or a text that has no UTF-8.
    """

    state: StateName = "enabled"
    confidence_max: int | float | None = None
    expires_at: datetime | None = None
    reason: str | None = None
    set_by: str | None = None
    set_at: datetime | None = None

    def __post_init__(self) -> None:
        plain: dict[str, object] = {"state": _state_name(self.state)}
        if self.confidence_max is not None:
            plain["confidence_max"] = check_number("confidence_max", self.confidence_max)
        for field in ("reason", "set_by"):
            plain[field] = check_optional_text(field, getattr(self, field))
        for field in ("expires_at", "set_at"):
            plain[field] = _to_utc(field, getattr(self, field))
        for field, value in plain.items():
            object.__setattr__(self, field, value)

    def is_expired(self, now: datetime) -> bool:
        """Whether the state has ended at ``now`` (aware); from ``expires_at`` on, it has."""
        if now.tzinfo is None:
            raise InvalidInputError("now", "must be an aware datetime")
        return self.expires_at is not None and self.expires_at <= now

    def effective(self, now: datetime) -> RuleState:
        """Return the state that holds at ``now`` (aware): this one, or the default once expired."""
        return RuleState() if self.is_expired(now) else self


class CompiledRule(NamedTuple):
    """A rule as an engine takes it, with its current state stamped on.

    ``rule_version`` is the author's number. ``match_spec`` is a JSON object in the
    language of the rule's format. A removed rule has neither ``applies_to`` nor ``emits``.
    """

    rule_id: str
    rule_version: int
    name: str
    applies_to: frozenset[str]
    match_spec: dict[str, Any]
    emits: tuple[Emit, ...]
    evidence_fields: tuple[str, ...]
    state: RuleState
    description: str = ""

    @property
    def removed(self) -> bool:
        """Whether this stands for a rule that is gone."""
        return not self.applies_to and not self.emits


class Links(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a rule is connected with others of its source; stored beside it where it is.

    ``name`` is what others may call it beside its id, ``refers_to`` what it calls others (ids or
    names, as written), which may be missing where ``optional``. With ``silences`` those do not fire
    by themselves. ``targets`` are the ids that ``refers_to`` leads to, and ``base_of`` those of the
    rules that silence this one.
    """

    name: str | None = None
    refers_to: tuple[str, ...] = ()
    silences: bool = False
    optional: bool = False
    targets: tuple[str, ...] = ()
    base_of: tuple[str, ...] = ()


NO_LINKS: Final = Links()


class RuleChange(NamedTuple):
    """One logged change: of a definition (a CompiledRule) or of a state (a RuleState)."""

    change_kind: ChangeKind
    rule_id: str
    new_value: CompiledRule | RuleState


def removed_rule(rule_id: str) -> CompiledRule:
    """Build what stands for the rule ``rule_id`` once it is gone; ``rule_version`` is 0."""
    return CompiledRule(rule_id, 0, "", frozenset(), {}, (), (), RuleState())


def encode_rule(rule: CompiledRule) -> dict[str, JSON]:
    """Turn a rule into JSON values, the same for equal rules; the state is left out.

    The state changes on its own and has events of its own. ``match_spec`` is shared with
    the rule, not copied.
    """
    return {
        "rule_id": rule.rule_id,
        "rule_version": rule.rule_version,
        "name": rule.name,
        "applies_to": sorted(rule.applies_to),
        "match_spec": rule.match_spec,
        "emits": [
            {
                "technique_id": technique_id,
                "sub_technique_id": sub_technique_id,
                "tactic": tactic,
                "confidence": confidence,
            }
            for technique_id, sub_technique_id, tactic, confidence in rule.emits
        ],
        "evidence_fields": list(rule.evidence_fields),
        "description": rule.description,
    }


def encode_links(links: Links) -> dict[str, JSON]:
    """Turn a rule's links into JSON values, leaving out what is not there."""
    values = msgspec.to_builtins(links)
    return {key: list(one) if isinstance(one, tuple) else one for key, one in values.items()}


class _StoredEmit(msgspec.Struct, gc=False):
    technique_id: str
    sub_technique_id: str | None
    tactic: str
    confidence: int | float


class StoredRule(msgspec.Struct):
    """A rule as JSON holds it, to be decoded from an event or a file; see encode_rule."""

    rule_id: str
    rule_version: int
    name: str
    applies_to: frozenset[str]
    match_spec: dict[str, Any]
    emits: list[_StoredEmit]
    evidence_fields: tuple[str, ...]
    description: str

    def compiled(self, state: RuleState) -> CompiledRule:
        """Return the rule with ``state`` stamped on; ``match_spec`` is shared, not copied."""
        return CompiledRule(
            rule_id=self.rule_id,
            rule_version=self.rule_version,
            name=self.name,
            applies_to=self.applies_to,
            match_spec=self.match_spec,
            emits=tuple(
                (emit.technique_id, emit.sub_technique_id, emit.tactic, emit.confidence)
                for emit in self.emits
            ),
            evidence_fields=self.evidence_fields,
            state=state,
            description=self.description,
        )


class StoredState(msgspec.Struct):
    """A state as JSON holds it, to be decoded from an event or a file; see encode_state."""

    state: StateName
    confidence_max: int | float | None = None
    expires_at: str | None = None
    reason: str | None = None
    set_by: str | None = None
    set_at: str | None = None

    def value(self) -> RuleState:
        """Return the state; raise InvalidInputError for a value that no state has."""
        try:
            expires_at, set_at = _parse_time(self.expires_at), _parse_time(self.set_at)
        except ValueError as error:
            raise InvalidInputError("stored rule state", str(error)) from error
        return RuleState(
            self.state, self.confidence_max, expires_at, self.reason, self.set_by, set_at
        )


_DEFAULT_STATE: Final = RuleState()


def decode_rule(data: Mapping[str, JSON], state: RuleState = _DEFAULT_STATE) -> CompiledRule:
    """Undo :func:`encode_rule` and stamp ``state`` on.

    Unknown keys are ignored, so that older readers understand newer writers. Raises
    :class:`InvalidInputError` naming the field that is missing or of the wrong type.
    """
    try:
        return msgspec.convert(data, StoredRule).compiled(state)
    except msgspec.ValidationError as error:
        raise InvalidInputError("stored rule", str(error)) from error


def encode_state(state: RuleState) -> dict[str, JSON]:
    """Turn a state into JSON values; times become ISO 8601 in UTC, to the microsecond."""
    return {
        "state": state.state,
        "confidence_max": state.confidence_max,
        "expires_at": state.expires_at.isoformat() if state.expires_at else None,
        "reason": state.reason,
        "set_by": state.set_by,
        "set_at": state.set_at.isoformat() if state.set_at else None,
    }


def decode_state(data: Mapping[str, JSON]) -> RuleState:
    """Undo :func:`encode_state`; raise :class:`InvalidInputError` for anything else.

    Only ``state`` is required, and unknown keys are ignored.
    """
    try:
        return msgspec.convert(data, StoredState).value()
    except msgspec.ValidationError as error:
        raise InvalidInputError("stored rule state", str(error)) from error
