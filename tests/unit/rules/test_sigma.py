"""Sigma rules old and new, single and in collections."""

import pytest

from projections.rules.formats import ParsedRule, RuleFormatError, get_format, read_rules
from projections.rules.model import CompiledRule

RULE = """\
title: Program started
id: 8d7d2a0b-0a0f-4a5b-9f6e-0a4a4f4f8f10
description: What it is for
tags:
  - attack.execution
  - attack.defense_evasion
  - attack.t1059.001
  - attack.T1105
  - attack.g0010
  - car.2016-04-002
logsource:
  product: Windows
  category: process_creation
  definition: a long text for people
detection:
  selection:
    Image|endswith: '\\x.exe'
  condition: selection
fields:
  - CommandLine
level: high
"""
GLOBAL = """\
action: global
title: Seen in two places
detection:
  condition: selection
---
logsource: {product: windows, service: sysmon}
detection:
  selection: {EventID: 1}
---
logsource: {product: windows, service: security}
detection:
  selection: {EventID: 4688}
"""


def read(content: str, path: str = "windows/x-1.yml") -> CompiledRule:
    return get_format("sigma").read(path, content.encode()).compiled


def read_all(content: str, path: str = "x.yml") -> tuple[ParsedRule, ...]:
    return read_rules(get_format("sigma"), path, content.encode())


def refusal(content: str) -> str:
    with pytest.raises(RuleFormatError) as caught:
        read(content, "x.yml")
    return str(caught.value)


def without(key: str) -> str:
    """Leave out a top-level key with everything that is indented below it."""
    kept, skipping = [], False
    for line in RULE.splitlines(keepends=True):
        skipping = line.startswith(f"{key}:") or (skipping and line.startswith(" "))
        kept += [] if skipping else [line]
    return "".join(kept)


def test_title_description_and_fields_are_taken() -> None:
    rule = read(RULE)
    assert (rule.name, rule.description) == ("Program started", "What it is for")
    assert rule.evidence_fields == ("CommandLine",)
    assert rule.rule_version == 1


def test_the_detection_is_kept_as_written() -> None:
    assert read(RULE).match_spec == {
        "selection": {"Image|endswith": "\\x.exe"},
        "condition": "selection",
    }


def test_the_log_source_without_its_definition_is_what_a_rule_applies_to() -> None:
    assert read(RULE).applies_to == {"product:windows", "category:process_creation"}


@pytest.mark.parametrize("logsource", ["", "logsource:\n", "logsource: {}\n"])
def test_a_rule_without_a_log_source_applies_to_any(logsource: str) -> None:
    assert read(without("logsource") + logsource).applies_to == {"any"}


def test_every_technique_is_paired_with_every_tactic() -> None:
    assert read(RULE).emits == (
        ("T1059", "T1059.001", "execution", 0.75),
        ("T1059", "T1059.001", "defense-evasion", 0.75),
        ("T1105", None, "execution", 0.75),
        ("T1105", None, "defense-evasion", 0.75),
    )


def test_a_technique_without_a_tactic_is_still_reported() -> None:
    rule = read(without("tags") + "tags: [attack.t1105]\n")
    assert rule.emits == (("T1105", None, "unknown", 0.75),)


def test_a_rule_without_tags_emits_nothing_and_is_still_alive() -> None:
    rule = read(without("tags"))
    assert rule.emits == ()
    assert not rule.removed


@pytest.mark.parametrize(
    ("level", "confidence"),
    [
        ("informational", 0.1),
        ("low", 0.25),
        ("Medium", 0.5),
        ("high", 0.75),
        ("critical", 0.95),
        ("70", 0.7),
        ("0", 0.0),
    ],
)
def test_confidence_follows_the_level(level: str, confidence: float) -> None:
    rule = read(without("level") + f"level: {level}\n")
    assert {emit[3] for emit in rule.emits} == {confidence}


def test_a_rule_without_a_level_is_medium() -> None:
    assert {emit[3] for emit in read(without("level")).emits} == {0.5}


@pytest.mark.parametrize("level", ["urgent", "101", "-1", "yes", "[high]"])
def test_an_unknown_level_is_refused(level: str) -> None:
    assert "level must be one of informational, low" in refusal(
        without("level") + f"level: {level}\n"
    )


def test_the_id_is_the_rules_own() -> None:
    assert read(RULE).rule_id == "8d7d2a0b-0a0f-4a5b-9f6e-0a4a4f4f8f10"


def test_a_rule_without_an_id_is_known_by_its_path() -> None:
    assert read(without("id"), "linux/a-b.yml").rule_id == "linux/a-b.yml"


def test_a_version_is_taken_where_one_is_stated() -> None:
    assert read(RULE + "version: 4\n").rule_version == 4


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (without("title"), "rule: title is missing"),
        (without("detection"), "rule 'Program started': detection is missing"),
        (RULE.replace("  condition: selection\n", ""), "detection.condition is missing"),
        (RULE.replace("condition: selection", "condition: ''"), "detection.condition is empty"),
        (RULE.replace("condition: selection", "condition: []"), "detection.condition is empty"),
        (
            RULE.replace("condition: selection", "condition: 1"),
            "detection.condition must be a text",
        ),
        (
            without("detection") + "detection: {condition: x, timeframe: 5m}\n",
            "detection has a condition, but nothing to search for",
        ),
        (without("detection") + "detection: [a]\n", "detection must be a mapping, not a list"),
        (without("logsource") + "logsource: [a]\n", "logsource must be a mapping, not a list"),
        (without("id") + "id: 17\n", "id must be a text, not 17"),
        (without("tags") + "tags: [attack.t1105, 5]\n", "tags[1] must be a text, not 5"),
        ("just text\n", "a Sigma rule must be a mapping, not 'just text'"),
        ("---\n---\n", "is empty"),
    ],
)
def test_what_is_no_valid_sigma_is_refused_with_the_reason(content: str, reason: str) -> None:
    assert reason in refusal(content)


def test_a_missing_condition_is_blamed_on_the_line_of_the_detection() -> None:
    message = refusal(RULE.replace("  condition: selection\n", ""))
    assert message == "x.yml:15: rule 'Program started': detection.condition is missing"


def test_several_conditions_are_kept_as_a_list() -> None:
    rule = read(RULE.replace("condition: selection", "condition: [selection, not selection]"))
    assert rule.match_spec["condition"] == ["selection", "not selection"]


def test_each_document_of_a_file_is_a_rule_of_its_own() -> None:
    sysmon, security = read_all(GLOBAL)
    assert sysmon.compiled.name == security.compiled.name == "Seen in two places"
    assert sysmon.compiled.applies_to == {"product:windows", "service:sysmon"}
    assert security.compiled.match_spec == {
        "condition": "selection",
        "selection": {"EventID": 4688},
    }


def test_what_is_global_prevails() -> None:
    rule = read(GLOBAL.replace("---\nlogsource", "---\ntitle: other\nlogsource", 1))
    assert rule.name == "Seen in two places"


def test_a_repeated_rule_is_the_one_before_it_with_changes() -> None:
    _, rule = read_all(RULE + "---\naction: repeat\ndetection: {selection: {Image: z}}\n")
    selection = rule.compiled.match_spec["selection"]
    assert selection == {"Image|endswith": "\\x.exe", "Image": "z"}


def test_a_repeat_with_nothing_before_it_is_a_rule() -> None:
    assert read("action: repeat\n" + RULE) == read(RULE)


def test_a_reset_forgets_what_was_global() -> None:
    assert "rule: title is missing" in refusal(GLOBAL + "---\naction: reset\n---\ndetection: {}\n")


def test_a_global_document_that_nothing_follows_is_a_rule() -> None:
    assert read("action: global\n" + RULE).match_spec == read(RULE).match_spec


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("action: reset\n", "contains no Sigma rule"),
        ("action: merge\n" + RULE, "action must be global, reset or repeat, not 'merge'"),
        (GLOBAL + "---\n- a\n", "a Sigma rule must be a mapping, not a list"),
        (GLOBAL + "---\ntags: []\n", "nothing to search for"),
    ],
)
def test_an_invalid_collection_is_refused_with_the_reason(content: str, reason: str) -> None:
    assert reason in refusal(content)


def test_documents_that_multiply_into_too_much_are_refused() -> None:
    shared = GLOBAL.partition("---")[0] + f"description: {'x' * 1_000_000}\n"
    content = shared + "---\ndetection: {selection: {EventID: 1}}\n" * 100
    assert "too large once its documents are merged" in refusal(content)


def test_many_equal_tags_are_paired_once() -> None:
    tags = ", ".join(["attack.execution, attack.t1105"] * 5_000)
    assert len(read(without("tags") + f"tags: [{tags}]\n").emits) == 1
