"""What the files of a directory hold: parsed once, and only where the log does not know them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.master import fill, ttp

from projections.rules.formats import ParsedRule, get_format
from projections.rules.sources.findings import (
    ChangingFile,
    InvalidFile,
    ParsedFile,
    UnchangedFile,
)
from projections.rules.sources.parsing import FileParser
from projections.rules.sources.scan import ScannedFile, Scanner
from projections.rules.standing_rules import StandingRule, StandingRules

if TYPE_CHECKING:
    from pathlib import Path

    from projections.rules.sources.findings import FileFinding

NOTHING = StandingRules("s")


class Counting:
    """The format ``ttp``, which notes what it was asked to read."""

    def __init__(self) -> None:
        self._format = get_format("ttp")
        self.name, self.filename = self._format.name, self._format.filename
        self.asked: list[str] = []

    def read(self, path: str, content: bytes) -> ParsedRule:
        self.asked.append(path)
        return self._format.read(path, content)


class Source:
    """A directory, its scanner and its parser."""

    def __init__(self, root: Path) -> None:
        self.root, self.format = root, Counting()
        self.scanner = Scanner(root, self.format.filename)
        self.parser = FileParser(self.scanner, self.format)

    def parse(self, standing: StandingRules = NOTHING) -> dict[str, FileFinding]:
        return self.parser.parse(self.scanner.scan(), standing)


def test_each_file_is_a_rule_or_a_reason(tmp_path: Path) -> None:
    source = Source(fill(tmp_path / "rules", {"a.yml": ttp("A"), "b.yml": "rule_id: [\n"}))
    (source.root / "c.yml").symlink_to("nowhere.yml")
    found = source.parse()
    assert isinstance(rule := found["a.yml"], ParsedFile)
    assert (rule.rule_ids, rule.content, rule.format) == (("A",), ttp("A").encode(), "ttp")
    assert isinstance(broken := found["b.yml"], InvalidFile)
    assert "not YAML" in broken.reason
    assert broken.line is not None
    assert isinstance(link := found["c.yml"], InvalidFile)
    assert link.reason == "is a link to nothing"
    assert source.format.asked == ["a.yml", "b.yml"]


def test_a_file_that_stands_as_it_is_is_not_read(tmp_path: Path) -> None:
    source = Source(fill(tmp_path / "rules", {"a.yml": ttp("A")}))
    digest = source.scanner.scan()["a.yml"].sha256
    rule = StandingRule("A", "a.yml", "s", "ttp", digest)
    found = source.parse(StandingRules("s", {"A": rule}))
    assert isinstance(same := found["a.yml"], UnchangedFile)
    assert same.rules == (rule,)
    assert source.format.asked == []
    for other in (
        StandingRule("A", "a.yml", "another", "ttp", digest),
        StandingRule("A", "a.yml", "s", "raw", digest),
        StandingRule("A", "a.yml", "s", "ttp", "00"),
        StandingRule("A", "b.yml", "s", "ttp", digest),
    ):
        assert isinstance(source.parse(StandingRules("s", {"A": other}))["a.yml"], ParsedFile)


def test_a_file_is_parsed_again_only_where_it_changed_or_was_forgotten(tmp_path: Path) -> None:
    source = Source(fill(tmp_path / "rules", {"a.yml": ttp("A")}))
    assert source.parse()["a.yml"] is source.parse()["a.yml"]
    assert source.format.asked == ["a.yml"]
    fill(source.root, {"a.yml": ttp("A", "other")})
    source.parse()
    assert source.format.asked == ["a.yml"] * 2
    source.parser.retain([])
    source.parse()
    assert source.format.asked == ["a.yml"] * 3


def test_a_file_that_changes_after_the_scan_is_told_apart(tmp_path: Path) -> None:
    source = Source(fill(tmp_path / "rules", {"a.yml": ttp("A")}))
    scanned: dict[str, ScannedFile] = source.scanner.scan()
    fill(source.root, {"a.yml": ttp("A", "other")})
    assert isinstance(source.parser.parse(scanned, NOTHING)["a.yml"], ChangingFile)
