"""What a Sigma rule applies to, reports and refers to; and what is wrong with its condition."""

from __future__ import annotations

import pytest

from projections.rules.formats import ParsedRule, RuleFormatError, get_format, read_rules
from projections.rules.model import Links

CORRELATION = (
    "title: C\ncorrelation: {type: event_count, rules: [a], timespan: 5m, condition: {gte: 2}}\n"
)
FILTER = (
    "title: F\nlogsource: {product: windows}\nfilter: {rules: [a], s: {A: b}, condition: not s}\n"
)


def read(text: str) -> ParsedRule:
    (rule,) = read_rules(get_format("sigma"), "f.yml", text.encode())
    return rule


def refusal(text: str) -> str:
    with pytest.raises(RuleFormatError) as caught:
        read(text)
    return caught.value.reason


def rule(more: str = "", logsource: str = "{product: windows}", condition: str = "s") -> str:
    return (
        f"title: T\nlogsource: {logsource}\n{more}"
        f"detection:\n  s: {{A: b}}\n  s_2: {{A: c}}\n  _p: {{A: d}}\n  condition: {condition}\n"
    )


@pytest.mark.parametrize(
    ("logsource", "entries"),
    [
        (
            "{product: windows, category: [ps_module, ps_script]}",
            {"product:windows", "category:ps_module", "category:ps_script"},
        ),
        ("{product: [Windows, linux]}", {"product:windows", "product:linux"}),
        ("{service: [sshd]}", {"service:sshd"}),
        ("{product: windows, service: null}", {"product:windows"}),
        ("{product: windows, definition: [a, 1]}", {"product:windows"}),
    ],
)
def test_each_value_of_the_log_source_is_an_entry(logsource: str, entries: set[str]) -> None:
    assert read(rule(logsource=logsource)).compiled.applies_to == entries


@pytest.mark.parametrize(
    "value", ["7", "[]", "[windows, 7]", "[windows, null]", "{a: b}", "yes", "''", "' '", "[['a']]"]
)
def test_a_log_source_that_would_be_left_out_is_refused(value: str) -> None:
    reason = refusal(rule(logsource=f"{{product: windows, category: {value}}}"))
    assert "logsource.category must be a text or a list of texts" in reason


def test_a_log_source_indented_by_no_break_spaces_is_refused() -> None:
    spaces = "\u00a0" * 4
    text = f"title: T\nlogsource:\n{spaces}product: windows\ndetection: {{s: [x], condition: s}}\n"
    assert "has white space around it" in refusal(text)


@pytest.mark.parametrize(
    ("tag", "tactic"),
    [
        ("attack.stealth", "stealth"),
        ("attack.defense-impairment", "defense-impairment"),
        ("attack.Defense_Impairment", "defense-impairment"),
        ("ATTACK.initial_access", "initial-access"),
        ("attack.some_new_word", "some-new-word"),
        ("attack.ta0005", "ta0005"),
        ("execution", "execution"),
    ],
)
def test_a_tactic_is_taken_as_it_is_written(tag: str, tactic: str) -> None:
    found = read(rule(f"tags: [attack.t1105, {tag}]\n")).compiled.emits
    assert found == (("T1105", None, tactic, 0.5),)


@pytest.mark.parametrize(
    "tag", ["attack.g0010", "attack.s0002", "car.2016-04-002", "cve.2024.1", "detection.threat"]
)
def test_what_is_no_tactic_is_not_taken_for_one(tag: str) -> None:
    found = read(rule(f"tags: [attack.t1105, attack.impact, {tag}]\n")).compiled.emits
    assert found == (("T1105", None, "impact", 0.5),)


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("4", 4),
        ("'1'", 1),
        ("1.0.1", 1),
        ("0", 0),
        ("", 1),
        ("''", 1),
        ("2.5", 2),
        ("v3", 3),
        ("'12 b'", 12),
    ],
)
def test_a_version_is_its_first_number(version: str, number: int) -> None:
    assert read(rule(f"version: {version}\n")).compiled.rule_version == number


@pytest.mark.parametrize("version", ["-1", "yes", "[1]", "latest", "{a: 1}"])
def test_a_version_without_a_number_is_refused(version: str) -> None:
    assert "version must begin with a whole number" in refusal(rule(f"version: {version}\n"))


def test_a_field_that_is_a_number_is_the_text_it_is() -> None:
    assert read(rule("fields: [1, A, 1, 2.5]\n")).compiled.evidence_fields == ("1", "A", "2.5")
    assert "fields must be a list of texts" in refusal(rule("fields: [[a]]\n"))


@pytest.mark.parametrize(
    "condition",
    [
        "s",
        "not s",
        "not not s",
        "s and not (s_2 or s)",
        "1 of s*",
        "all of s_*",
        "1 of them",
        "all of them and not _p",
        "1 of _*",
        "S_2 or s",
        "s AND NOT s_2",
        "1 OF s*",
        "s | count() by User > 5",
        "s | near s_2",
        "[s, not s_2]",
        "|\n    s\n    or s_2",
        "((s))",
        "2 of s*",
    ],
)
def test_a_condition_that_speaks_of_what_is_there_has_no_remark(condition: str) -> None:
    text = rule(condition=condition)
    if "S_2" in condition:
        text = text.replace("  s_2:", "  S_2:")
    assert read(text).remarks == ()


@pytest.mark.parametrize(
    ("condition", "fault"),
    [
        ("other", "speaks of 'other', and there is no such selection"),
        ("s and sel_2", "speaks of 'sel_2', and there is no such selection"),
        ("timeframe", "speaks of 'timeframe'"),
        ("1 of x*", "speaks of '1 of x*', and no selection has such a name"),
        ("1 of *_p and s", "speaks of '1 of *_p'"),
        ("s and (", "it ends where a selection is expected"),
        ("(s", "a parenthesis is not closed"),
        ("s)", "')' stands where 'and' or 'or' is expected"),
        ("s s_2", "'s_2' stands where 'and' or 'or' is expected"),
        ("and s", "'and' stands where a selection is expected"),
        ("s or or s_2", "'or' stands where a selection is expected"),
        ("not", "it ends where a selection is expected"),
        ("1 of", "'1 of' is followed by nothing"),
        ("all of (s)", "'(' stands where selections are named"),
        ("s && s_2", "'&&' stands where 'and' or 'or' is expected"),
        ("s | sort", "has 'sort' after '|', which is no aggregation"),
        ("[s, other]", "speaks of 'other'"),
        ("'" + "(" * 100_000 + "s'", "a parenthesis is not closed"),
        ("'" + "not " * 100_000 + "'", "it ends where a selection is expected"),
    ],
)
def test_what_is_wrong_with_a_condition_is_remarked(condition: str, fault: str) -> None:
    (remark,) = read(rule(condition=condition)).remarks
    assert remark.reason.startswith("rule 'T': detection.condition")
    assert fault in remark.reason
    assert remark.line == 7


def test_a_correlation_says_what_it_refers_to() -> None:
    found = read(CORRELATION.replace("title", "name: c\ntitle"))
    assert found.links == Links("c", ("a",), silences=True)
    assert found.compiled.applies_to == {"correlation"}
    assert found.compiled.match_spec["correlation"]["timespan"] == "5m"
    assert not read(CORRELATION.replace("rules", "generate: true, rules")).links.silences


@pytest.mark.parametrize(
    ("before", "after", "references"),
    [
        ("rules: [a]", "rules: a", ("a",)),
        ("rules: [a]", "rules: [a, b, a]", ("a", "b")),
        ("event_count, rules: [a]", "temporal, rules: [a, b]", ("a", "b")),
        (
            "event_count, rules: [a], timespan: 5m, condition: {gte: 2}",
            "temporal_ordered, timespan: 5m, condition: a and (b or not c_1)",
            ("a", "b", "c_1"),
        ),
    ],
)
def test_references_are_a_text_a_list_or_those_of_the_condition(
    before: str, after: str, references: tuple[str, ...]
) -> None:
    assert before in CORRELATION
    assert read(CORRELATION.replace(before, after)).links.refers_to == references


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ("event_count", "counting", "correlation.type must be one of"),
        ("type: event_count, ", "", "correlation.type is missing"),
        ("rules: [a], ", "", "correlation.rules is missing"),
        ("rules: [a]", "rules: []", "correlation.rules names no rule"),
        ("rules: [a]", "rules: [1]", "correlation.rules[0] must be a text"),
        ("timespan: 5m, ", "", "correlation.timespan is missing"),
        ("5m", "5", "correlation.timespan must be a number and one of"),
        ("5m", "0m", "correlation.timespan must be a number and one of"),
        ("5m", "5 minutes", "correlation.timespan must be a number and one of"),
        (", condition: {gte: 2}", "", "correlation.condition is missing"),
        ("gte", "more", "correlation.condition must have exactly one of"),
        ("gte: 2", "gte: 2, lt: 9", "correlation.condition must have exactly one of"),
        ("gte: 2", "gte: many", "compares with 'many', which is no number"),
        ("{gte: 2}", "a and b", "correlation.condition must be a mapping"),
        ("rules", "generate: 1, rules", "correlation.generate must be true or false"),
        ("rules", "aliases: {x: y}, rules", "correlation.aliases.x must be a mapping"),
        ("event_count", "temporal", None),
    ],
)
def test_what_is_no_correlation_is_refused(before: str, after: str, reason: str | None) -> None:
    text = CORRELATION.replace(before, after)
    if reason is None:
        read(text)
    else:
        assert reason in refusal(text)


def test_a_filter_is_a_kind_of_its_own() -> None:
    found = read(FILTER)
    assert found.links.refers_to == ("a",)
    assert not found.links.silences
    assert found.compiled.applies_to == {"filter"}
    assert found.compiled.match_spec["logsource"] == {"product": "windows"}
    assert read(FILTER.replace("[a]", "any")).compiled.match_spec["rules"] == "any"
    assert "filter.rules is missing" in refusal(FILTER.replace("rules: [a], ", ""))
    assert "filter.condition is missing" in refusal(FILTER.replace(", condition: not s", ""))
    (remark,) = read(FILTER.replace("not s", "not x")).remarks
    assert "there is no such selection" in remark.reason


def test_a_base_emits_nothing_and_says_so() -> None:
    sigma, plain = get_format("sigma"), read(rule("tags: [attack.t1105]\n"))
    base = sigma.link(plain, Links(base_of=("c",)))  # type: ignore[attr-defined]
    assert base.compiled.emits == ()
    assert base.compiled.applies_to == plain.compiled.applies_to
    assert base.compiled.match_spec == {"base_of": ["c"], "detection": plain.compiled.match_spec}
    assert not base.compiled.removed
    chained = sigma.link(read(CORRELATION), Links("c", ("a",), targets=("A",), base_of=("d",)))  # type: ignore[attr-defined]
    assert chained.compiled.match_spec["base_of"] == ["d"]
    assert chained.compiled.match_spec["rules"] == ["A"]


@pytest.mark.parametrize("name", ["''", "5", "' '", "[a]"])
def test_a_name_that_cannot_be_referred_to_is_refused(name: str) -> None:
    assert "name " in refusal(rule(f"name: {name}\n"))
