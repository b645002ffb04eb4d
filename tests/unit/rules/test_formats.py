"""What all formats have in common: names, file names, promises; and the raw format."""

import hashlib
import re

import pytest
from support.commands import REPOSITORY

from eventstore import errors
from projections.rules.formats import (
    RuleFormat,
    RuleFormatError,
    files_ending,
    get_format,
    is_rule_file,
    known_formats,
    register,
)
from projections.testing.rule_formats import SCRATCH, RuleFormatContract

EVERY_FORMAT = pytest.mark.parametrize(
    "rule_format", [get_format(name) for name in known_formats()]
)


def test_the_formats_are_exactly_these() -> None:
    assert known_formats() == ("raw", "sigma", "ttp")


@EVERY_FORMAT
def test_a_format_is_found_by_its_name(rule_format: RuleFormat) -> None:
    assert get_format(rule_format.name) is rule_format


@pytest.mark.parametrize("name", ["yara", "", "TTP"])
def test_an_unknown_format_is_refused_naming_the_known_ones(name: str) -> None:
    with pytest.raises(errors.ConfigError, match="known are raw, sigma, ttp"):
        get_format(name)


def test_a_name_that_is_taken_cannot_be_registered_again() -> None:
    with pytest.raises(errors.ConfigError, match="'ttp' is registered already"):
        register(get_format("ttp"))


@pytest.mark.parametrize("name", SCRATCH)
def test_scratch_files_do_not_count_for_a_pattern_that_allows_all(name: str) -> None:
    assert not is_rule_file(name, re.compile(r"(?s).+"))


@pytest.mark.parametrize(
    ("format_name", "names"),
    [
        ("ttp", ["r1.yml", "R_2.yaml", "4913.yml", "r-1.yml", "r 1.YML", "é.Yaml", "a (1).yml"]),
        ("sigma", ["win-susp.yml", "cve-2020-1048.v2.yaml", "c++.yml", "a_b.yml", "~a.yml"]),
        ("raw", ["x", "prompt one.txt", "a.b-c", "x#y", "Übung.md", "49130", "a~b", "a.lock"]),
        # Copies about which a person has to decide are no scratch files.
        ("ttp", ["a (Ana's conflicted copy 2026-11-27).yml", "a.sync-conflict-2026-AB12CD.yml"]),
        ("ttp", ["rule_base_2.yml", "backup_1.yml", "download.yml", "x.tmp.yml", "sedation.yml"]),
    ],
)
def test_rule_files_count(format_name: str, names: list[str]) -> None:
    pattern = get_format(format_name).filename
    assert [name for name in names if is_rule_file(name, pattern)] == names


@pytest.mark.parametrize(
    "name", ["r1.yml.bak", "r1.json", "README.md", "r1_yml", "yml", "r.yml\n", "r.yml.txt"]
)
def test_other_names_do_not_count_as_ttp_rules(name: str) -> None:
    assert not is_rule_file(name, get_format("ttp").filename)


GOOD = {
    "raw": ("a.txt", b"text"),
    "sigma": (
        "a.yml",
        b"title: t\nlogsource: {product: p}\ndetection: {s: {a: b}, condition: s}\n",
    ),
    "ttp": ("R1.yml", (REPOSITORY / "config/rules/ttp/dns_tunnel_long_labels.yml").read_bytes()),
}


class TestEveryFormat(RuleFormatContract):
    @pytest.fixture(params=known_formats())
    def rule_format(self, request: pytest.FixtureRequest) -> RuleFormat:
        return get_format(request.param)

    @pytest.fixture
    def good_file(self, rule_format: RuleFormat) -> tuple[str, bytes]:
        return GOOD[rule_format.name]


def test_a_format_may_be_made_of_endings() -> None:
    pattern = files_ending(".yar", ".c++")
    names = ["a.yar", "b.YAR", "x y.C++", "a.yara", "ayar", ".yar", "a.c"]
    assert [name for name in names if is_rule_file(name, pattern)] == names[:3]


def test_an_error_names_path_line_and_reason() -> None:
    error = RuleFormatError("a/b.yml", "is empty", 3)
    assert str(error) == "a/b.yml:3: is empty"
    assert (error.path, error.line, error.reason) == ("a/b.yml", 3, "is empty")
    assert isinstance(error, errors.EventStoreError)


def test_an_error_about_a_whole_file_names_no_line() -> None:
    assert str(RuleFormatError("b.yml", "is empty")) == "b.yml: is empty"


@pytest.mark.parametrize("content", [b"", b"\0\xff", b"text"])
def test_a_raw_file_is_described_whatever_it_holds(content: bytes) -> None:
    parsed = get_format("raw").read("prompts/a b.txt", content)
    assert parsed.rule_id == "prompts/a b.txt"
    assert parsed.compiled.name == "a b.txt"
    assert parsed.compiled.applies_to == {"raw"}
    assert parsed.compiled.match_spec == {
        "path": "prompts/a b.txt",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size": len(content),
    }


@pytest.mark.parametrize("path", ["a\nb", "a\udcffb", "", "x" * 1_100])
def test_a_raw_path_that_cannot_name_a_stream_is_refused(path: str) -> None:
    with pytest.raises(RuleFormatError, match="cannot be used"):
        get_format("raw").read(path, b"")
