"""The hash of a set of rules, what differs between two sets, and the record of a worker."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import InvalidInputError
from eventstore.limits import MAX_REPORT_BYTES
from projections.rules.loaded import Engine, LoadedRules
from projections.rules.loaded_report import (
    MOST_NAMED,
    LoadedReport,
    decode_report,
    encode_report,
    name_rejected,
)
from projections.rules.model import CompiledRule, RuleState, removed_rule
from projections.rules.rule_set import (
    Intended,
    RuleEntry,
    RuleSet,
    compare_sets,
    set_hash,
    state_word,
)
from projections.rules.rule_types import OWN_TYPES

NOON = datetime(2026, 5, 1, 12, tzinfo=UTC)
ENABLED = RuleState()

rule_ids = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=8)
entries = st.builds(
    RuleEntry,
    st.sampled_from(["a" * 64, "b" * 64, "-", "?"]),
    st.sampled_from([1, 20]),
    st.sampled_from(["enabled", "disabled", "clipped", "clipped:200000"]),
)
sets = st.dictionaries(rule_ids, entries, max_size=6)


def computed_elsewhere(rules: RuleSet) -> str:
    """Compute the hash as docs/rules.md tells a program of another language to."""
    lines = []
    for rule_id in sorted(rules, key=lambda one: list(one.encode("utf-8"))):
        content, position, state = rules[rule_id]
        lines.append(f"{content} {position} {state} {len(rule_id.encode('utf-8'))}:{rule_id}\n")
    return hashlib.sha256("".join(lines).encode("utf-8")).hexdigest()


@given(sets)
def test_the_hash_is_that_of_its_documentation(rules: RuleSet) -> None:
    assert set_hash(rules) == computed_elsewhere(rules)
    assert set_hash(dict(reversed(rules.items()))) == set_hash(rules)


def test_the_hash_of_a_known_set() -> None:
    assert set_hash({}) == hashlib.sha256(b"").hexdigest()
    rules = {"R2": RuleEntry("b" * 64, 12, "clipped:200000"), "R1": RuleEntry("a" * 64, 7)}
    lines = f"{'a' * 64} 7 enabled 2:R1\n{'b' * 64} 12 clipped:200000 2:R2\n"
    assert set_hash(rules) == hashlib.sha256(lines.encode()).hexdigest()


@given(sets, sets)
def test_sets_that_differ_have_differences_and_other_hashes(one: RuleSet, other: RuleSet) -> None:
    found = compare_sets(one, other)
    assert bool(found) == (one != other) == (set_hash(one) != set_hash(other))
    for rule_id, word in found:
        assert (word == "missing") == (rule_id not in other)
        assert (word == "extra") == (rule_id not in one)
        if word == "state":
            assert one[rule_id][:2] == other[rule_id][:2]


@pytest.mark.parametrize(
    ("state", "word"),
    [
        (RuleState(), "enabled"),
        (RuleState("enabled", 0.5), "enabled"),
        (RuleState("disabled", 0.5, reason="noisy"), "disabled"),
        (RuleState("disabled", expires_at=NOON), "enabled"),
        (RuleState("disabled", expires_at=NOON + timedelta(seconds=1)), "disabled"),
        (RuleState("clipped"), "clipped"),
        (RuleState("clipped", 0.2), "clipped:200000"),
        (RuleState("clipped", 1), "clipped:1000000"),
        (RuleState("clipped", 1 / 3), "clipped:333333"),
    ],
)
def test_a_state_is_what_an_engine_applies(state: RuleState, word: str) -> None:
    assert state_word(state, NOON) == word


def rule(rule_id: str, name: str = "first", state: RuleState = ENABLED) -> CompiledRule:
    return removed_rule(rule_id)._replace(
        name=name, applies_to=frozenset({"process"}), match_spec={"field": name}, state=state
    )


class Desk:
    """What a worker should run, and its comparison."""

    def __init__(self, *rules: CompiledRule) -> None:
        self.rules = {one.rule_id: one for one in rules}
        self.read: list[str] = []
        self.comparison = LoadedRules(OWN_TYPES)

    def report(self, *loaded: Any, **rejected: str) -> LoadedReport:
        def rule_of(rule_id: str) -> CompiledRule | None:
            self.read.append(rule_id)
            return self.rules.get(rule_id)

        wanted = {
            key: RuleEntry(key * 4, 3, state_word(one.state, NOON))
            for key, one in self.rules.items()
        }
        who = Engine("engine", "1", "host:1")
        intended = Intended(7, 5, wanted)
        return self.comparison.report(intended, rule_of, loaded, rejected, who, NOON)


def test_an_engine_that_runs_what_it_should_differs_in_nothing() -> None:
    desk = Desk(rule("A"), rule("B", state=RuleState("disabled")))
    report = desk.report(rule("B", state=RuleState("disabled")), rule("A"))
    assert (report.differs, report.rules, report.position) == ((), 2, 7)
    assert report.hash == set_hash(
        {"A": RuleEntry("AAAA", 3), "B": RuleEntry("BBBB", 3, "disabled")}
    )


def test_each_kind_of_difference_is_named() -> None:
    desk = Desk(rule("A"), rule("B"), rule("C"), rule("D"))
    state = RuleState("clipped", 0.5)
    report = desk.report(
        rule("A"), rule("B", "other"), rule("C", state=state), rule("X"), D="no regex"
    )
    assert report.differs == (("B", "content"), ("C", "state"), ("D", "missing"), ("X", "extra"))
    assert (report.differing, report.rules) == (4, 4)
    assert (report.rejected, report.refused) == ((("D", "no regex"),), 1)


def test_a_rule_that_is_the_same_object_is_not_read_again_until_the_log_has_another() -> None:
    desk, mine = Desk(rule("A"), rule("B")), [rule("A"), rule("B")]
    desk.report(*mine)
    assert desk.read == ["A", "B"]
    restamped = mine[0]._replace(state=RuleState("disabled"))
    assert desk.report(restamped, mine[1]).differs == (("A", "state"),)
    assert desk.read == ["A", "B"]
    assert desk.report(rule("A", "other"), mine[1]).differs == (("A", "content"),)
    assert desk.read == ["A", "B", "A"]


def test_ids_alone_tell_which_rules_are_there() -> None:
    desk = Desk(rule("A"), rule("B", state=RuleState("disabled")))
    assert desk.report("A", "B").differs == ()
    assert desk.report("A", "C").differs == (("B", "missing"), ("C", "extra"))


def test_what_is_no_rule_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="rule state"):
        Desk(rule("A")).report(rule("A", state="disabled"))  # type: ignore[arg-type]


def test_a_record_is_bounded_and_counts_what_it_does_not_name() -> None:
    desk = Desk(*[rule(f"R{number:04}") for number in range(100)])
    reasons = {f"R{number:04}": "\ud800" + "no " * 1000 for number in range(50)}
    report = desk.report(**reasons)
    assert (report.differing, report.refused) == (100, 50)
    assert len(report.differs) == len(report.rejected) == MOST_NAMED
    assert decode_report(encode_report(report)) == report


def test_a_record_with_the_longest_names_fits() -> None:
    long = [(f"{number}" + '"' * 1000, "missing") for number in range(MOST_NAMED)]
    refused = name_rejected((name, "\x01" * 200) for name, _ in long)
    report = LoadedReport(7, differs=tuple(long), differing=20, rejected=refused, refused=20)  # type: ignore[arg-type]
    text = encode_report(report)
    assert len(text.encode()) <= MAX_REPORT_BYTES
    read = decode_report(text)
    assert read is not None
    assert (read.differing, read.refused) == (20, 20)
    assert 0 < len(read.differs) < 20


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"position": "x"}', "\0", "[" * 10_000])
def test_what_is_no_record_is_passed_over(text: str) -> None:
    assert decode_report(text) is None


def test_a_password_in_a_reason_is_not_told() -> None:
    ((_, why),) = name_rejected([("A", "cannot reach postgresql://me:secret@host/db")])
    assert "secret" not in why
    assert msgspec.json.encode(why)
