"""The ttp format: what it takes, and how it says what is missing."""

from typing import Any

import pytest
import yaml

from projections.rules.formats import RuleFormatError, get_format
from projections.rules.model import CompiledRule, RuleState

RULE: dict[str, Any] = {
    "rule_id": "R1",
    "rule_version": 3,
    "name": "A name",
    "applies_to": ["process_creation", "dns_query"],
    "match": {"all": [{"field": "process.name", "equals": "x.exe"}]},
    "emits": [
        {"technique_id": "T1059", "tactic": "execution", "confidence": 0.5},
        {
            "technique_id": "T1003",
            "sub_technique_id": "T1003.001",
            "tactic": "credential-access",
            "confidence": 1,
        },
    ],
    "evidence_fields": ["process.name"],
    "description": "What it is for",
}


def dump(**changes: Any) -> bytes:
    rule = {key: value for key, value in {**RULE, **changes}.items() if value is not ...}
    return yaml.safe_dump(rule, sort_keys=False, allow_unicode=True).encode()


def read(**changes: Any) -> CompiledRule:
    return get_format("ttp").read("r1.yml", dump(**changes)).compiled


def refusal(content: bytes) -> str:
    with pytest.raises(RuleFormatError) as caught:
        get_format("ttp").read("r1.yml", content)
    return str(caught.value)


def test_every_field_of_a_rule_is_taken() -> None:
    assert read() == CompiledRule(
        rule_id="R1",
        rule_version=3,
        name="A name",
        applies_to=frozenset({"process_creation", "dns_query"}),
        match_spec={"all": [{"field": "process.name", "equals": "x.exe"}]},
        emits=(
            ("T1059", None, "execution", 0.5),
            ("T1003", "T1003.001", "credential-access", 1),
        ),
        evidence_fields=("process.name",),
        state=RuleState(),
        description="What it is for",
    )


def test_description_and_evidence_fields_may_be_left_out() -> None:
    rule = read(description=..., evidence_fields=...)
    assert (rule.description, rule.evidence_fields) == ("", ())


def test_unknown_top_level_keys_are_tolerated() -> None:
    assert read(author="Detection Engineering", severity={"x": [1]}) == read()


@pytest.mark.parametrize("field", ["rule_version", "name", "applies_to", "match", "emits"])
@pytest.mark.parametrize("value", [..., None])
def test_a_missing_field_is_refused_naming_rule_and_field(field: str, value: object) -> None:
    assert f"rule R1: {field} is missing" in refusal(dump(**{field: value}))


def test_a_missing_id_is_refused() -> None:
    assert refusal(dump(rule_id=...)) == "r1.yml:1: rule: rule_id is missing"


@pytest.mark.parametrize("field", ["technique_id", "tactic", "confidence"])
@pytest.mark.parametrize("value", [..., None])
def test_a_finding_without_a_field_is_refused_at_its_line(field: str, value: object) -> None:
    finding = {"technique_id": "T1", "tactic": "impact", "confidence": 1, "note": "x"}
    finding |= {field: value}
    entry = {key: inner for key, inner in finding.items() if inner is not ...}
    message = refusal(dump(emits=[RULE["emits"][0], entry]))
    assert f"rule R1: emits[1].{field} is missing" in message
    assert int(message.split(":")[1]) >= 14


@pytest.mark.parametrize("value", [True, "0.5", [1]])
def test_a_confidence_that_is_no_number_is_refused(value: object) -> None:
    entry = {"technique_id": "T1", "tactic": "impact", "confidence": value}
    assert "rule R1: emits[0].confidence must be a number" in refusal(dump(emits=[entry]))


def test_an_octal_looking_sub_technique_is_refused_with_the_remedy() -> None:
    content = dump().replace(b"sub_technique_id: T1003.001", b"sub_technique_id: 001")
    assert "emits[1].sub_technique_id must be a text, not 1: put it in quotes" in refusal(content)


@pytest.mark.parametrize("value", [0, -1, True, 1.0, "1", [1]])
def test_a_version_that_is_no_whole_number_from_one_is_refused(value: object) -> None:
    assert "rule_version must be a whole number from 1" in refusal(dump(rule_version=value))


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("name", 5, "name must be a text, not 5: put it in quotes"),
        ("name", " ", "name is empty"),
        ("applies_to", "dns_query", "applies_to must be a list, not 'dns_query'"),
        ("applies_to", ["a", 5], "applies_to[1] must be a text, not 5"),
        ("match", ["a"], "match must be a mapping, not a list"),
        ("emits", {"tactic": "impact"}, "emits must be a list, not a mapping"),
        ("emits", ["T1059"], "emits[0] must be a mapping, not 'T1059'"),
        ("evidence_fields", "a", "evidence_fields must be a list, not 'a'"),
        ("description", 5, "description must be a text, not 5: put it in quotes"),
    ],
)
def test_a_field_of_the_wrong_type_is_refused(field: str, value: object, reason: str) -> None:
    assert refusal(dump(**{field: value})).endswith(f": rule R1: {reason}")


@pytest.mark.parametrize("rule_id", ["a.b", "a*", "a>b", "a b", "a\tb", "a\u00a0b", "\n"])
def test_an_id_with_a_reserved_character_is_refused(rule_id: str) -> None:
    assert refusal(dump(rule_id=rule_id)).startswith("r1.yml:1: rule: rule_id ")


@pytest.mark.parametrize("rule_id", ["a\x07b", "a/", "x" * 1_100])
def test_an_id_that_cannot_name_a_stream_is_refused(rule_id: str) -> None:
    assert "cannot be used" in refusal(dump(rule_id=rule_id))


@pytest.mark.parametrize("rule_id", ["R0001", "team/rule-1", "Übung_1", "規則"])
def test_other_ids_are_taken_as_they_are(rule_id: str) -> None:
    assert read(rule_id=rule_id).rule_id == rule_id


def test_a_rule_that_looks_removed_is_refused() -> None:
    assert "both empty" in refusal(dump(applies_to=[], emits=[]))


@pytest.mark.parametrize("content", [b"just text", b"- a\n- b", b"5"])
def test_a_file_that_is_no_mapping_is_refused(content: bytes) -> None:
    assert refusal(content).startswith("r1.yml:1: rule must be a mapping, not ")


def test_a_date_in_the_match_stays_the_text_that_was_written() -> None:
    content = dump().replace(b"x.exe", b"2020-01-01")
    rule = get_format("ttp").read("r1.yml", content).compiled
    assert rule.match_spec["all"][0]["equals"] == "2020-01-01"
