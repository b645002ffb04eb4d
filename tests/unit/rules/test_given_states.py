"""States of the caller's own class: converted to one that every reader understands, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from enum import Enum, StrEnum
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import InvalidInputError
from eventstore.log.events import NewEvent
from projections.rules import RuleState
from projections.rules.given_states import check_state
from projections.rules.model import STATE_NAMES, decode_state, encode_state

NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Theirs:
    state: Any = "disabled"
    confidence_max: Any = None
    expires_at: Any = None
    reason: Any = None
    set_by: Any = "not this one"
    set_at: Any = "nor this time"


class TheirTuple(NamedTuple):
    state: Any = "disabled"
    confidence_max: Any = None
    expires_at: Any = None
    reason: Any = None


class Text(StrEnum):
    DISABLED = "disabled"


class Plain(Enum):
    DISABLED = "disabled"
    WRONG = "DISABLED"


class Timeless(tzinfo):
    """A time zone that knows nothing."""

    def utcoffset(self, _: datetime | None) -> timedelta:
        raise NotImplementedError

    dst = utcoffset

    def tzname(self, _: datetime | None) -> str:
        return "never"


class Half(float):
    """A number of a class of its own."""


class Loud(str):
    """A text that prints itself otherwise."""

    __slots__ = ()

    def __str__(self) -> str:
        return self.upper()


def check(state: object, set_by: Any = "ana") -> RuleState:
    return check_state(state, set_by, NOW)


@pytest.mark.parametrize("kind", [Theirs, TheirTuple])
def test_an_object_of_the_same_shape_becomes_a_checked_state(kind: Any) -> None:
    assert check(kind(reason="noisy")) == RuleState(
        "disabled", reason="noisy", set_by="ana", set_at=NOW
    )


@pytest.mark.parametrize("state", [Text.DISABLED, Plain.DISABLED], ids=repr)
@pytest.mark.parametrize("kind", [Theirs, RuleState])
def test_a_member_of_an_enumeration_is_taken_as_its_value(kind: Any, state: Any) -> None:
    checked = check(kind(state))
    assert (checked.state, type(checked.state)) == ("disabled", str)


def test_a_naive_time_means_utc_in_the_callers_class_alone() -> None:
    naive = datetime(2030, 1, 1, 12)  # noqa: DTZ001 - it is the point
    assert check(Theirs(expires_at=naive)).expires_at == naive.replace(tzinfo=UTC)
    with pytest.raises(InvalidInputError, match="expires_at"):
        RuleState("disabled", expires_at=naive)


def test_values_of_subclasses_are_kept_as_plain_ones() -> None:
    checked = check(Theirs("clipped", Half(0.5), reason=Loud("noisy")), Loud("ana"))
    assert (type(checked.confidence_max), checked.confidence_max) == (float, 0.5)
    assert [(type(one), one) for one in (checked.reason, checked.set_by)] == [
        (str, "noisy"),
        (str, "ana"),
    ]


REFUSED: dict[str, list[Any]] = {
    "rule state": ["bogus", "Disabled", "", None, 1, ["disabled"], Plain.WRONG, Plain],
    "confidence_max": ["high", True, float("nan"), float("inf"), -0.1, 1.01, 80, [0.5], 2**70],
    "expires_at": [
        "2030-01-01T00:00:00Z",
        1e9,
        NOW.date(),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-12))),
        NOW.replace(tzinfo=Timeless()),
    ],
    "reason": [5, b"noisy", "\ud800", ["noisy"]],
}


@pytest.mark.parametrize(
    ("what", "value"),
    [(what, value) for what, values in REFUSED.items() for value in values],
    ids=lambda value: f"{value!r:.40}",
)
def test_what_no_state_can_hold_is_refused_by_the_name_of_its_field(what: str, value: Any) -> None:
    field = "state" if what == "rule state" else what
    with pytest.raises(InvalidInputError) as refused:
        check(Theirs(**{field: value}))
    assert refused.value.what == what


@pytest.mark.parametrize("set_by", [None, 5, b"ana", "\ud800", ["ana"]])
def test_who_set_it_is_a_text(set_by: Any) -> None:
    with pytest.raises(InvalidInputError, match="set_by"):
        check(RuleState(), set_by)


@pytest.mark.parametrize(
    "state", [None, "disabled", {"state": "disabled"}, Theirs, RuleState, 5], ids=repr
)
def test_what_has_another_shape_is_refused(state: Any) -> None:
    with pytest.raises(InvalidInputError, match="has no"):
        check(state)


def test_a_confidence_outside_the_range_is_refused_for_our_own_class_too() -> None:
    with pytest.raises(InvalidInputError, match="from 0 to 1"):
        check(RuleState("clipped", 1.5))
    assert [check(RuleState("clipped", edge)).confidence_max for edge in (0, 1)] == [0, 1]


anything: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(),
    st.sampled_from(STATE_NAMES),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.sampled_from([Text.DISABLED, Plain.DISABLED, Half(0.25), Loud("enabled")]),
)


@given(st.builds(Theirs, anything, anything, anything, anything), anything)
def test_a_state_is_refused_or_read_back_as_it_is_acknowledged(state: Theirs, by: Any) -> None:
    try:
        checked = check(state, by)
    except InvalidInputError:
        return
    stored = NewEvent("RuleStateSet", encode_state(checked)).data
    assert decode_state(stored) == checked
