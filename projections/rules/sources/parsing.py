"""From files to rules: what each file of a source holds, or why that is no rule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import InvalidInputError
from eventstore.system.printable import escape_path, is_control
from projections.rules.formats import ParsedRule, RuleFormatError, read_rules
from projections.rules.sources._writes import definition_events
from projections.rules.sources.findings import (
    ChangingFile,
    InvalidFile,
    ParsedFile,
    UnchangedFile,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from projections.rules.formats import RuleFormat
    from projections.rules.sources.findings import FileFinding
    from projections.rules.sources.scan import ScannedFile, Scanner
    from projections.rules.standing_rules import StandingRule, StandingRules


class FileParser:
    """Parses the files that a scan has found, each once as long as it stays the same."""

    def __init__(self, scanner: Scanner, rule_format: RuleFormat) -> None:
        self._scanner = scanner
        self._format = rule_format
        self._parsed: dict[str, ParsedFile] = {}

    def parse(
        self, files: Mapping[str, ScannedFile], standing: StandingRules
    ) -> dict[str, FileFinding]:
        """Return what each file holds, by path; nothing that a file contains raises.

        A file that is as its standing rule was defined is neither read nor parsed.
        """
        return {path: self.find(file, standing) for path, file in files.items()}

    def find(self, file: ScannedFile, standing: StandingRules) -> FileFinding:
        """Return what one file holds, without reading it where it is as its rules say."""
        rules = standing.rules_by_path().get(file.path)
        if rules is not None and self._are_of(file, rules):
            return UnchangedFile(file, rules)
        return self.parse_file(file, standing)

    def _are_of(self, file: ScannedFile, rules: tuple[StandingRule, ...]) -> bool:
        """Whether these are the rules of the file as it is now, all of them."""
        first = rules[0]
        if len(rules) == 1:  # By far the most.
            return (first.sha256, first.format, first.rules) == (
                file.sha256,
                self._format.name,
                1,
            ) and not first.outdated
        expected = (file.sha256, self._format.name, len(rules))
        return all((rule.sha256, rule.format, rule.rules) == expected for rule in rules)

    def retain(self, paths: Iterable[str]) -> None:
        """Forget what was parsed from other files than these."""
        self._parsed = {path: self._parsed[path] for path in paths if path in self._parsed}

    def parse_file(self, file: ScannedFile, standing: StandingRules) -> FileFinding:
        """Return what one file holds."""
        if file.problem is not None:
            return InvalidFile(file, file.problem)
        if reason := _name_problem(file.path):
            return InvalidFile(file, reason, rule_ids=self._rule_ids(file))
        if self._scanner.is_being_written(file):
            return ChangingFile(file)
        known = self._parsed.get(file.path)
        if known is not None and known.file == file:
            return known
        content = self._scanner.read(file)
        if content is None:
            return ChangingFile(file)
        return self._parse_content(file, content, standing)

    def _parse_content(
        self, file: ScannedFile, content: bytes, standing: StandingRules
    ) -> ParsedFile | InvalidFile:
        try:
            rules = _checked(read_rules(self._format, file.path, content))
            parsed = ParsedFile(file, content, self._format.name, rules)
            definition_events(parsed, standing)
        except RuleFormatError as error:
            return InvalidFile(file, error.reason, error.line)
        except InvalidInputError as error:
            # One rule that no event can hold must not stop the others.
            return InvalidFile(file, str(error))
        except (Exception, SystemExit) as error:
            # Formats come from other packages too. A fault in one costs this file alone.
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            reason = f"the format {self._format.name!r} failed on it: {what:.300}"
            return InvalidFile(file, reason)
        self._parsed[file.path] = parsed
        return parsed

    def _rule_ids(self, file: ScannedFile) -> tuple[str, ...]:
        """Return the ids of the rules in a file whose name cannot be used, if it holds any."""
        content = self._scanner.read(file)
        if content is None:
            return ()
        try:
            rules = _checked(read_rules(self._format, escape_path(file.path), content))
        except (Exception, SystemExit):
            return ()
        return tuple(rule.rule_id for rule in rules)


def _checked(rules: tuple[ParsedRule, ...]) -> tuple[ParsedRule, ...]:
    """Raise TypeError where a format has returned anything but rules."""
    for rule in rules:
        if not isinstance(rule, ParsedRule):
            raise TypeError(f"read() returned {rule!r:.80}, which is no ParsedRule")
    return rules


def _name_problem(path: str) -> str | None:
    """Return why no log can carry a path; None where one can."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return "its name is not UTF-8: rename it"
    if any(map(is_control, path)):
        return "its name contains a control character: rename it"
    return None
