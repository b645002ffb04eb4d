"""The rules that come with the project load, and the broken one is explained."""

from pathlib import Path

import pytest

from projections.rules.formats import ParsedRule, RuleFormatError, get_format, is_rule_file

CONFIG = Path(__file__).parents[3] / "config"


def sample_rules(format_name: str) -> list[ParsedRule]:
    rule_format = get_format(format_name)
    root = CONFIG / "rules" / format_name
    files = sorted(path for path in root.rglob("*") if path.is_file())
    assert all(is_rule_file(path.name, rule_format.filename) for path in files)
    return [rule_format.read(str(path.relative_to(root)), path.read_bytes()) for path in files]


@pytest.mark.parametrize(("format_name", "at_least"), [("ttp", 14), ("sigma", 10)])
def test_every_sample_rule_loads(format_name: str, at_least: int) -> None:
    rules = sample_rules(format_name)
    assert len(rules) >= at_least
    assert len({rule.rule_id for rule in rules}) == len(rules)


def test_every_sample_rule_says_what_it_is_for_and_what_it_finds() -> None:
    rules = [rule.compiled for name in ("ttp", "sigma") for rule in sample_rules(name)]
    assert len(rules) >= 24
    assert all(rule.description and rule.applies_to and rule.emits for rule in rules)


def test_the_broken_rule_is_refused_naming_file_line_rule_and_field() -> None:
    content = (CONFIG / "broken-rule.yml").read_bytes()
    with pytest.raises(RuleFormatError) as caught:
        get_format("ttp").read("config/broken-rule.yml", content)
    assert str(caught.value) == (
        "config/broken-rule.yml:19: rule R1099: emits[1].confidence is missing"
    )
