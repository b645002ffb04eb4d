"""Rules that refer to each other: resolved within a source, across its files.

A reference is the id or the name of a rule. A file with a reference that leads nowhere is
rejected, as long as it does, unless the rule can do without. What a rule refers to, and which
rules make it one that does not fire by itself, is part of its definition: a file that did not
change is read again where that did.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from projections.rules.formats import Remark, has_many_rules
from projections.rules.sources.findings import InvalidFile, ParsedFile, UnchangedFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from projections.rules.formats import ManyRulesFormat, ParsedRule, RuleFormat
    from projections.rules.model import Links
    from projections.rules.sources.findings import FileFinding
    from projections.rules.sources.parsing import FileParser
    from projections.rules.standing_rules import StandingRule, StandingRules


class References:
    """Resolves the references of one source's files. Formats of single rules have none."""

    def __init__(self, rule_format: RuleFormat, parser: FileParser) -> None:
        self._format = rule_format if has_many_rules(rule_format) else None
        self._parser = parser

    def resolve(
        self, findings: dict[str, FileFinding], standing: StandingRules
    ) -> dict[str, FileFinding]:
        """Return the findings with every rule as it is among the others.

        Ids that a standing rule has in another spelling are given that.
        """
        if self._format is None:
            return findings
        findings = _respelled(findings, standing, self._format)
        if not _any_links(findings.values(), standing):
            return findings
        resolution, findings = self._without_dead_ends(findings, standing)
        return {
            path: self._link(finding, resolution, standing) for path, finding in findings.items()
        }

    def concern(self, findings: Iterable[FileFinding], standing: StandingRules) -> bool:
        """Whether rules of these files, or rules that stand, refer to each other."""
        return self._format is not None and _any_links(findings, standing)

    def _without_dead_ends(
        self, findings: dict[str, FileFinding], standing: StandingRules
    ) -> tuple[_Resolution, dict[str, FileFinding]]:
        """Reject files until every reference of the others leads somewhere."""
        while True:
            resolution = _Resolution(findings, standing, self._format)
            refused = {
                path: InvalidFile(findings[path].file, reason)
                for path, reason in resolution.dead_ends()
            }
            if not refused:
                return resolution, findings
            findings = findings | refused

    def _link(
        self, finding: FileFinding, resolution: _Resolution, standing: StandingRules
    ) -> FileFinding:
        assert self._format is not None  # noqa: S101 - see resolve
        if isinstance(finding, UnchangedFile):
            if all(resolution.links_of(rule) == rule.links for rule in finding.rules):
                return finding
            found = self._parser.parse_file(finding.file, standing)
            finding = _with_spelling(found, _spellings(standing, self._format))
        if not isinstance(finding, ParsedFile):
            return finding
        path = finding.file.path
        rules = tuple(self._linked(path, rule, resolution) for rule in finding.rules)
        return replace(finding, rules=rules)

    def _linked(self, path: str, rule: ParsedRule, resolution: _Resolution) -> ParsedRule:
        assert self._format is not None  # noqa: S101 - see resolve
        links = resolution.links_of(rule)
        if links.refers_to or links.base_of:
            rule = self._format.link(rule, links)
        missing = resolution.missing(links, path)
        if missing is None:
            return rule
        remark = Remark(f"rule {rule.rule_id!r:.200} {missing}", None)
        return replace(rule, remarks=(*rule.remarks, remark))


class _Member(NamedTuple):
    """A rule of the source: in a file that is taken, or standing for one that is not."""

    path: str
    rule_id: str
    links: Links
    is_taken: bool


class _Resolution:
    """Which rule each reference leads to, for one state of the files."""

    def __init__(
        self,
        findings: Mapping[str, FileFinding],
        standing: StandingRules,
        rule_format: ManyRulesFormat | None,
    ) -> None:
        assert rule_format is not None  # noqa: S101 - see References.resolve
        self._format = rule_format
        self._members = list(_members(findings, standing))
        self._known: dict[str, list[_Member]] = defaultdict(list)
        for member in self._members:
            self._known[rule_format.canonical_id(member.rule_id)].append(member)
            if member.links.name is not None:
                self._known[member.links.name].append(member)
        self._targets = {
            member.rule_id: self._targets_of(member)
            for member in self._members
            if member.links.refers_to
        }
        self._bases: dict[str, set[str]] = defaultdict(set)
        for member in self._members:
            if member.links.silences:
                for target in self._targets[member.rule_id]:
                    self._bases[target].add(member.rule_id)

    def dead_ends(self) -> Iterator[tuple[str, str]]:
        """Yield the path of each file that is taken and cannot be, and why."""
        for member in self._members:
            if member.is_taken and member.links.refers_to:
                reason = self._fault(member)
                if reason is not None:
                    yield member.path, f"rule {member.rule_id!r:.200} {reason}"

    def links_of(self, rule: ParsedRule | StandingRule) -> Links:
        """Return the links of a rule with what was resolved."""
        targets = self._targets.get(rule.rule_id, ())
        base_of = tuple(sorted(self._bases.get(rule.rule_id, ())))
        if targets == rule.links.targets and base_of == rule.links.base_of:
            return rule.links
        return msgspec.structs.replace(rule.links, targets=targets, base_of=base_of)

    def _targets_of(self, member: _Member) -> tuple[str, ...]:
        found = (
            one.rule_id
            for reference in member.links.refers_to
            for one in self._find(reference, member.path)
        )
        return tuple(dict.fromkeys(found))

    def _find(self, reference: str, path: str) -> list[_Member]:
        """Return the rules of that id or name: those of the same file, where there are any."""
        known = self._known.get(self._format.canonical_id(reference), [])
        return [one for one in known if one.path == path] or known

    def missing(self, links: Links, path: str) -> str | None:
        """Say what a rule of this file refers to and is not there, None if all is."""
        for reference in links.refers_to:
            if not self._find(reference, path):
                return f"refers to {reference!r:.200}, and no rule of this source is called that"
        return None

    def _fault(self, member: _Member) -> str | None:
        if not member.links.optional and (missing := self.missing(member.links, member.path)):
            return missing
        seen: set[str] = set()
        waiting = list(self._targets[member.rule_id])
        while waiting:
            target = waiting.pop()
            if target == member.rule_id:
                return "refers to itself, at once or by way of others"
            if target not in seen:
                seen.add(target)
                waiting += self._targets.get(target, ())
        return None


def _members(findings: Mapping[str, FileFinding], standing: StandingRules) -> Iterator[_Member]:
    mine = standing.rules_by_path()
    for path, finding in findings.items():
        if isinstance(finding, ParsedFile | UnchangedFile):
            for rule in finding.rules:
                yield _Member(path, rule.rule_id, rule.links, is_taken=True)
        else:
            for held in mine.get(path, ()):
                yield _Member(path, held.rule_id, held.links, is_taken=False)


def _any_links(findings: Iterable[FileFinding], standing: StandingRules) -> bool:
    """Whether any rule refers to another one, or did when it was defined."""
    if any(rule.links.refers_to or rule.links.base_of for rule in standing.rules.values()):
        return True
    return any(
        rule.links.refers_to
        for finding in findings
        if isinstance(finding, ParsedFile)
        for rule in finding.rules
    )


def _spellings(standing: StandingRules, rule_format: ManyRulesFormat) -> dict[str, str]:
    """Return the standing ids that are not in their canonical spelling, by that."""
    return {
        canonical: rule.rule_id
        for rule in standing.rules.values()
        if rule.format == rule_format.name
        and (canonical := rule_format.canonical_id(rule.rule_id)) != rule.rule_id
    }


def _respelled(
    findings: dict[str, FileFinding], standing: StandingRules, rule_format: ManyRulesFormat
) -> dict[str, FileFinding]:
    fresh = any(
        isinstance(finding, ParsedFile)
        and not all(rule_id in standing.rules for rule_id in finding.rule_ids)
        for finding in findings.values()
    )
    spellings = _spellings(standing, rule_format) if fresh else {}
    if not spellings:
        return findings
    return {path: _with_spelling(finding, spellings) for path, finding in findings.items()}


def _with_spelling(finding: FileFinding, spellings: Mapping[str, str]) -> FileFinding:
    if not isinstance(finding, ParsedFile) or spellings.keys().isdisjoint(finding.rule_ids):
        return finding
    rules = tuple(
        rule
        if (known := spellings.get(rule.rule_id)) is None
        else replace(rule, rule_id=known, compiled=rule.compiled._replace(rule_id=known))
        for rule in finding.rules
    )
    return replace(finding, rules=rules)
