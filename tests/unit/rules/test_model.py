"""The seam's values: what they refuse, and that JSON gives every one back exactly."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import errors
from eventstore.log.events import NewEvent
from projections.rules.model import (
    STATE_NAMES,
    CompiledRule,
    RuleChange,
    RuleState,
    decode_rule,
    decode_state,
    encode_rule,
    encode_state,
    removed_rule,
)

NOON = datetime(2024, 5, 1, 12, tzinfo=UTC)

utf8 = st.text(st.characters(codec="utf-8"))
integers = st.integers(-(2**63), 2**64 - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
numbers = integers | floats
moments = st.datetimes(timezones=st.just(UTC))
json_values = st.recursive(
    st.none() | st.booleans() | numbers | utf8,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(utf8, inner, max_size=3),
    max_leaves=8,
)
states = st.builds(
    RuleState,
    state=st.sampled_from(STATE_NAMES),
    confidence_max=st.none() | numbers,
    expires_at=st.none() | moments,
    reason=st.none() | utf8,
    set_by=st.none() | utf8,
    set_at=st.none() | moments,
)
rules = st.builds(
    CompiledRule,
    rule_id=utf8,
    rule_version=integers,
    name=utf8,
    applies_to=st.frozensets(utf8, max_size=4),
    match_spec=st.dictionaries(utf8, json_values, max_size=4),
    emits=st.lists(st.tuples(utf8, st.none() | utf8, utf8, numbers), max_size=3).map(tuple),
    evidence_fields=st.lists(utf8, max_size=3).map(tuple),
    state=states,
    description=utf8,
)


def through_the_log(value: Any) -> Any:
    return NewEvent("Test", value).data


@given(rules)
def test_a_rule_comes_back_from_json_exactly(rule: CompiledRule) -> None:
    decoded = decode_rule(through_the_log(encode_rule(rule)), rule.state)
    assert repr(decoded._replace(applies_to=frozenset())) == repr(
        rule._replace(applies_to=frozenset())
    ), "repr tells 1 from 1.0 and 0.0 from -0.0"
    assert decoded == rule


@given(states)
def test_a_state_comes_back_from_json_exactly(state: RuleState) -> None:
    decoded = decode_state(through_the_log(encode_state(state)))
    assert repr(decoded) == repr(state)


def test_equal_rules_are_written_alike_whatever_the_order_of_their_set() -> None:
    rule = removed_rule("R1")._replace(applies_to=frozenset(f"kind{n}" for n in range(100)))
    assert encode_rule(rule)["applies_to"] == sorted(rule.applies_to)


def test_the_state_is_no_part_of_a_written_definition() -> None:
    assert "state" not in encode_rule(removed_rule("R1"))


def test_a_rule_is_read_with_the_default_state() -> None:
    assert decode_rule(encode_rule(removed_rule("R1"))).state == RuleState()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rule_id", 5),
        ("rule_version", "1"),
        ("rule_version", True),
        ("applies_to", "windows"),
        ("match_spec", []),
        ("emits", [{"technique_id": "T1059"}]),
        ("description", None),
    ],
)
def test_a_stored_rule_of_the_wrong_shape_is_refused_by_field(field: str, value: Any) -> None:
    data = {**encode_rule(removed_rule("R1")), field: value}
    with pytest.raises(errors.InvalidInputError, match=field):
        decode_rule(data)


def test_a_stored_rule_without_a_field_is_refused_by_name() -> None:
    data = {k: v for k, v in encode_rule(removed_rule("R1")).items() if k != "match_spec"}
    with pytest.raises(errors.InvalidInputError, match="match_spec"):
        decode_rule(data)


def test_keys_of_newer_writers_are_ignored() -> None:
    assert decode_state({"state": "disabled", "later": 1}) == RuleState("disabled")


@pytest.mark.parametrize(
    "data", [{}, {"state": "off"}, {"state": "enabled", "set_at": "soon"}, {"state": None}]
)
def test_a_stored_state_of_the_wrong_shape_is_refused(data: dict[str, str]) -> None:
    with pytest.raises(errors.InvalidInputError, match="stored rule state"):
        decode_state(data)


def test_a_removed_rule_carries_its_id_and_nothing_that_could_fire() -> None:
    rule = removed_rule("R1")
    assert (rule.rule_id, rule.applies_to, rule.emits) == ("R1", frozenset(), ())
    assert rule.removed


def test_a_rule_that_applies_to_something_is_not_removed() -> None:
    assert not removed_rule("R1")._replace(applies_to=frozenset({"raw"})).removed


def test_field_names_are_those_of_the_seam() -> None:
    assert RuleChange._fields == ("change_kind", "rule_id", "new_value")
    assert CompiledRule._fields == (
        "rule_id",
        "rule_version",
        "name",
        "applies_to",
        "match_spec",
        "emits",
        "evidence_fields",
        "state",
        "description",
    )
    assert CompiledRule._field_defaults == {"description": ""}


def test_a_state_needs_no_more_than_its_name() -> None:
    assert RuleState("disabled") == RuleState(state="disabled", confidence_max=None)
    assert RuleState().state == "enabled"


def test_a_state_cannot_be_changed() -> None:
    with pytest.raises(AttributeError):
        RuleState().state = "disabled"  # type: ignore[misc]


@pytest.mark.parametrize("state", ["", "Enabled", "off", None, 1, ["enabled"]])
def test_an_unknown_state_is_refused_naming_the_known_ones(state: object) -> None:
    with pytest.raises(errors.InvalidInputError, match="enabled, disabled, clipped"):
        RuleState(state)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, True, "0.5", 10**400, 2**64])
def test_a_confidence_that_is_no_finite_number_is_refused(value: object) -> None:
    with pytest.raises(errors.InvalidInputError, match="confidence_max"):
        RuleState("clipped", confidence_max=value)  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["expires_at", "set_at"])
@pytest.mark.parametrize("value", [datetime(2024, 5, 1), "2024-05-01", 0])  # noqa: DTZ001
def test_a_time_without_a_zone_is_refused(field: str, value: object) -> None:
    with pytest.raises(errors.InvalidInputError, match=field):
        RuleState(**{field: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("field", ["reason", "set_by"])
@pytest.mark.parametrize("value", ["\ud800", b"ana", 5])
def test_a_text_that_cannot_be_stored_is_refused(field: str, value: object) -> None:
    with pytest.raises(errors.InvalidInputError, match=field):
        RuleState(**{field: value})  # type: ignore[arg-type]


def test_times_of_other_zones_are_kept_in_utc() -> None:
    there = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    kept = RuleState(expires_at=there).expires_at
    assert kept == NOON
    assert kept.tzinfo is UTC


def test_a_time_before_the_calendar_in_utc_is_refused() -> None:
    first = datetime.min.replace(tzinfo=timezone(timedelta(hours=1)))
    with pytest.raises(errors.InvalidInputError, match="expires_at"):
        RuleState(expires_at=first)


def test_a_state_expires_at_its_time_and_not_before() -> None:
    state = RuleState("disabled", expires_at=NOON)
    assert not state.is_expired(NOON - timedelta(microseconds=1))
    assert state.is_expired(NOON)


def test_a_state_without_an_end_never_expires() -> None:
    assert not RuleState("disabled").is_expired(datetime.max.replace(tzinfo=UTC))


def test_an_expired_state_counts_as_the_default() -> None:
    state = RuleState("clipped", confidence_max=0.2, expires_at=NOON)
    assert state.effective(NOON - timedelta(seconds=1)) is state
    assert state.effective(NOON) == RuleState()


def test_expiry_is_not_judged_by_a_clock_without_a_zone() -> None:
    with pytest.raises(errors.InvalidInputError, match="now"):
        RuleState().is_expired(datetime(2024, 5, 1))  # noqa: DTZ001
