"""Sigma files of several documents: which rules they spell out, under which ids."""

from __future__ import annotations

import itertools

import pytest
from support.sigma import correlation, detection, sigma_file

from projections.rules.formats import ParsedRule, RuleFormatError, get_format, read_rules

ONE = "1111abcd-2222-4333-8444-555555555501"
TWO = "1111abcd-2222-4333-8444-555555555502"


def read(*documents: str, path: str = "f.yml") -> tuple[ParsedRule, ...]:
    return read_rules(get_format("sigma"), path, sigma_file(*documents).encode())


def ids(*documents: str) -> list[str]:
    return [rule.rule_id for rule in read(*documents)]


def by_id(*documents: str) -> dict[str, ParsedRule]:
    return {rule.rule_id: rule for rule in read(*documents)}


def test_every_document_claims_its_own_id() -> None:
    documents = [detection("A", f"id: {ONE}\n"), correlation("B", f"id: {TWO}\n")]
    assert ids(*documents) == [ONE, TWO]
    assert by_id(*documents) == by_id(*reversed(documents))


@pytest.mark.parametrize(
    "spelling",
    [
        ONE,
        ONE.upper(),
        f"'{{{ONE}}}'",
        f"urn:uuid:{ONE}",
        "'1111abcd222243338444555555555501'",
    ],
)
def test_ids_compare_as_the_uuids_they_are(spelling: str) -> None:
    assert ids(detection(more=f"id: {spelling}\n")) == [ONE]


@pytest.mark.parametrize("text", ["rule-1", "11111111e22", "ABC", "z" * 36])
def test_an_id_that_is_no_uuid_stays_as_written(text: str) -> None:
    assert ids(detection(more=f"id: {text}\n")) == [text]


def test_an_id_that_is_written_twice_is_refused() -> None:
    with pytest.raises(RuleFormatError, match="is given twice in this file"):
        read(detection("A", f"id: {ONE}\n"), detection("B", f"id: {ONE.upper()}\n"))


UNNUMBERED = {
    "names": [detection("T", "name: a\n"), detection("T", "name: b\n")],
    "titles": [detection("One"), detection("Two"), correlation("Three")],
    "log sources": [
        detection(),
        detection().replace("windows", "linux"),
        detection().replace("{product: windows}", "{category: [x, y]}"),
    ],
}


@pytest.mark.parametrize("kind", UNNUMBERED)
def test_rules_without_an_id_keep_theirs_in_any_order(kind: str) -> None:
    documents = UNNUMBERED[kind]
    expected = by_id(*documents)
    assert len(expected) == len(documents)
    assert "f.yml" in expected, "one of them is the file's"
    for order in itertools.permutations(documents):
        assert by_id(*order) == expected


def test_a_rule_keeps_its_id_when_a_correlation_joins_it() -> None:
    assert ids(detection("Z", "name: z\n")) == ["f.yml"]
    assert ids(detection("Z", "name: z\n"), correlation("A")) == ["f.yml", "f.yml#A"]


def test_equal_rules_without_an_id_are_numbered() -> None:
    found = ids(detection(), detection(), detection())
    assert found == ["f.yml", "f.yml#T windows~2", "f.yml#T windows~3"]


def test_an_endless_title_makes_no_endless_id() -> None:
    found = ids(detection("A" * 500), detection("B" * 500))
    assert all(len(rule_id) < 40 for rule_id in found)
    assert len(set(found)) == 2


def test_a_global_id_is_told_apart_by_log_source() -> None:
    shared = f"action: global\ntitle: T\nid: {ONE}\ndetection: {{condition: s}}\n"
    parts = [
        f"logsource: {{product: windows, service: {service}}}\ndetection: {{s: {{EventID: 1}}}}\n"
        for service in ("sysmon", "security")
    ]
    expected = by_id(shared, *parts)
    assert set(expected) == {ONE, f"{ONE}#T windows/sysmon"}
    assert by_id(shared, *reversed(parts)) == expected


def test_a_repeated_rule_has_an_id_of_its_own() -> None:
    repeated = "action: repeat\nlevel: low\nlogsource: {product: linux}\n"
    first, second = read(detection(more=f"id: {ONE}\n"), repeated)
    assert first.rule_id == ONE
    assert second.rule_id == f"{ONE}#T linux"
    assert ids(detection(more=f"id: {ONE}\n"), repeated + f"id: {TWO}\n") == [ONE, TWO]


def test_globals_add_up_and_a_correlation_takes_nothing_from_them() -> None:
    shared = "action: global\nlevel: high\ntags: [attack.t1110]\n"
    more = "action: global\nlogsource: {product: windows}\n"
    rule, linked = read(
        shared, more, "title: T\ndetection: {s: [x], condition: s}\n", correlation()
    )
    assert rule.compiled.applies_to == {"product:windows"}
    assert rule.compiled.emits == (("T1110", None, "unknown", 0.75),)
    assert linked.compiled.emits == ()
    assert linked.compiled.applies_to == {"correlation"}


def test_what_is_wrong_with_one_document_refuses_its_file() -> None:
    with pytest.raises(RuleFormatError, match="detection is missing") as caught:
        read(detection("A"), "title: B\nlogsource: {product: x}\n")
    assert caught.value.line == 5


def test_read_gives_the_first_rule() -> None:
    content = sigma_file(detection("A", f"id: {ONE}\n"), detection("B", f"id: {TWO}\n"))
    assert get_format("sigma").read("f.yml", content.encode()).rule_id == ONE
