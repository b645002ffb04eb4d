"""What one event says about rules: pure cases."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.rule_events import definition_data

from eventstore import Event
from eventstore.log.events import BYTES_CONTENT, JSON_CONTENT
from projections.rules.fold import (
    Defined,
    Erased,
    Rejected,
    RejectionEnded,
    Removed,
    StateErased,
    StateSet,
    Unusable,
    read_event,
)
from projections.rules.last_good import LastGood, is_in_force
from projections.rules.model import RuleState, decode_rule

GOOD = definition_data("A", "a.yml", b"\xff", name="first")
STATE = {"state": {"state": "disabled"}}


def event(stream: str, type_: str, data: Any, *, position: int = 1) -> Event:
    """Return an event as a log gives it; redacted where ``data`` is None."""
    content = BYTES_CONTENT if isinstance(data, bytes) else JSON_CONTENT
    raw = data if isinstance(data, bytes | None) else msgspec.json.encode(data)
    return Event(position, stream, position, type_, position, b"\xff1", content, raw, b"", 0, b"")


def redaction(position: int, stream: str, type_: str, *, at: int = 9) -> Event:
    data = {"position": position, "stream": stream, "version": 1, "type": type_, "reason": "r"}
    return event("log/redactions", "EventRedacted", data, position=at)


def test_a_definition_says_its_file_and_its_rule() -> None:
    says = read_event(event("rule/A", "RuleDefined", GOOD))
    assert isinstance(says, Defined)
    assert (says.rule_id, says.path, says.content) == ("A", "a.yml", b"\xff")
    assert (says.source, says.format, says.sha256) == ("s", "raw", GOOD["sha256"])
    assert says.compiled(RuleState("disabled")) == decode_rule(GOOD["rule"], RuleState("disabled"))


SAID = [
    (("rule/A", "RuleRemoved", {}), Removed("A")),
    (("rule/A", "RuleRemoved", b"\xff"), Removed("A")),
    (("rule/A", "RuleRemoved", None), Removed("A")),
    (("rule/A", "RuleDefined", None), Removed("A")),
    (("rule-state/A", "RuleStateSet", STATE), StateSet("A", RuleState("disabled"), expired=False)),
    (("rule-state/A", "RuleStateExpired", {"state": {"state": "enabled"}}),
     StateSet("A", RuleState(), expired=True)),
    (("rule-state/A", "RuleStateSet", None), StateErased("A")),
    (("source/s", "RuleRejected", {"path": "p", "reason": "r", "line": 3}),
     Rejected("s", "p", "", "r", 3)),
    (("source/s", "RejectionEnded", {"path": "p"}), RejectionEnded("s", "p")),
    (("source/s", "RuleRejected", None), None),
    (("rule/A", "Reviewed", None), None),
    (("rule/A", "RuleStateSet", STATE), None),
    (("other/A", "RuleDefined", GOOD), None),
    (("rules/A", "RuleRemoved", {}), None),
]  # fmt: skip


@pytest.mark.parametrize(("written", "says"), SAID)
def test_an_event_says_what_the_table_says(written: tuple[str, str, Any], says: Any) -> None:
    assert read_event(event(*written)) == says


UNUSABLE: list[tuple[str, str, Any]] = [
    *[("rule/A", "RuleDefined", {k: v for k, v in GOOD.items() if k != part})
      for part in ("path", "base64", "rule")],
    ("rule/A", "RuleDefined", {**GOOD, "base64": "?"}),
    ("rule/A", "RuleDefined", {**GOOD, "rule": {}}),
    ("rule/A", "RuleDefined", msgspec.json.encode(GOOD)),
    ("rule/A", "RuleDefined", [GOOD]),
    ("rule-state/A", "RuleStateSet", {"state": {"state": "asleep"}}),
    ("rule-state/A", "RuleStateSet", {"state": {"state": "enabled", "expires_at": "soon"}}),
    ("rule-state/A", "RuleStateSet", {}),
    ("source/s", "RejectionEnded", {"path": 3}),
]  # fmt: skip


@pytest.mark.parametrize("written", UNUSABLE)
def test_an_event_of_which_a_part_cannot_be_read_is_unusable(written: tuple[str, str, Any]) -> None:
    says = read_event(event(*written))
    assert isinstance(says, Unusable)
    assert says.reason


@given(st.sampled_from(["rule/A", "rule-state/A", "source/s"]),
       st.sampled_from(["RuleDefined", "RuleStateSet", "RuleRejected"]),
       st.binary(max_size=40), st.sampled_from([JSON_CONTENT, BYTES_CONTENT]))  # fmt: skip
def test_nothing_that_is_stored_raises(stream: str, type_: str, raw: bytes, content: int) -> None:
    stored = Event(1, stream, 1, type_, 1, b"\xff1", content, raw, b"", 0, b"")
    assert not isinstance(read_event(stored), Defined)


@pytest.mark.parametrize(
    ("stream", "type_", "instead"),
    [
        ("rule/A", "RuleDefined", Removed("A")),
        ("rule-state/A", "RuleStateSet", StateErased("A")),
        ("rule/A", "RuleRemoved", None),
        ("rule/A", "Reviewed", None),
        ("source/s", "RuleRejected", None),
        ("order/1", "RuleDefined", None),
    ],
)
def test_a_redaction_says_what_the_event_says_instead(
    stream: str, type_: str, instead: Removed | StateErased | None
) -> None:
    says = read_event(redaction(1, stream, type_))
    assert says == Erased(stream, 1, 1, type_, instead)


@pytest.mark.parametrize(("standing", "expected"), [(None, True), (2, True), (3, True), (4, False)])
def test_an_erased_event_is_in_force_unless_a_later_good_one_stands(
    standing: int | None, expected: bool
) -> None:
    assert is_in_force(Erased("rule/A", 3, 1, "RuleDefined", Removed("A")), standing) is expected


def test_the_last_good_version_stays_through_poison_and_goes_with_its_content() -> None:
    good = LastGood(lambda says: type(says).__name__)
    good.apply(event("rule/A", "RuleDefined", GOOD, position=1))
    good.apply(event("rule/A", "RuleDefined", 7, position=2))
    assert good.versions == {"rule/A": (1, "Defined")}
    good.apply(redaction(2, "rule/A", "RuleDefined", at=3))
    assert good.versions == {"rule/A": (2, "Removed")}
    good.apply(redaction(1, "rule/A", "RuleDefined", at=4))
    assert good.versions == {"rule/A": (2, "Removed")}
