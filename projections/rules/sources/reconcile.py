"""Judging a scanned set of rule files as a whole, against what the log says.

Pure computation: from what is known, what was scanned and how each file parses, to what
must be appended. As a whole, because files that swap their ids, or claim one id together,
cannot be judged one after the other.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from projections.rules.formats import ParsedRule, RuleFormatError
from projections.rules.sources.scan import ScannedFile, printable
from projections.rules.standing_rules import StandingRule, StandingRules


@dataclass(frozen=True, slots=True)
class Readable:
    """A file that was read and parsed, with its exact content."""

    file: ScannedFile
    content: bytes
    parsed: ParsedRule


Parse: TypeAlias = Callable[[ScannedFile], Readable | None]
"""Reads and parses a file; ``None`` where it has changed since the scan. Raises
RuleFormatError where the content is no rule."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that cannot be taken, and why; ``line`` counts from 1."""

    path: str
    sha256: str
    reason: str
    line: int | None = None


@dataclass(slots=True)
class Verdict:
    """What a set of files means for the log.

    ``rejected`` holds every file that is rejected now, ``new_rejections`` those that the
    log does not know yet, ``ended`` the paths whose recorded rejection no longer stands.
    ``unsettled`` counts files that changed while they were read.
    """

    defined: list[Readable] = field(default_factory=list)
    removed: list[StandingRule] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    new_rejections: list[Rejected] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    unchanged: int = 0
    unsettled: int = 0

    @property
    def changes_anything(self) -> bool:
        """Whether anything has to be appended."""
        return bool(self.defined or self.removed or self.new_rejections or self.ended)

    @property
    def hasty(self) -> bool:
        """Whether part of this may be an edit in progress: gone, empty or broken files."""
        empty = any(not readable.content for readable in self.defined)
        return bool(self.removed or self.new_rejections or self.unsettled or empty)


def judge(
    known: StandingRules, files: Mapping[str, ScannedFile], format_name: str, parse: Parse
) -> Verdict:
    """Return what must be appended so that the log says what the files say."""
    verdict = Verdict()
    mine = {rule.path: rule for rule in known.rules.values() if rule.source == known.source}
    claims: dict[str, list[Readable | StandingRule]] = defaultdict(list)
    held: set[str] = set()
    twins = _look_alikes(files, mine)
    for path, file in files.items():
        rule = mine.get(path)
        if rule is not None and rule.sha256 == file.sha256 and rule.format == format_name:
            claims[rule.rule_id].append(rule)
            continue
        try:
            readable = _read(file, parse, twins.get(path))
        except RuleFormatError as error:
            shown = printable(path)
            verdict.rejected.append(Rejected(shown, file.sha256, error.reason, error.line))
            readable = None
        else:
            verdict.unsettled += readable is None
        if readable is not None:
            claims[readable.parsed.rule_id].append(readable)
        elif rule is not None:
            held.add(rule.rule_id)
    broken = frozenset(held)
    for rule_id, claimants in sorted(claims.items()):
        if len(claimants) == 1 and isinstance(claimants[0], StandingRule):
            verdict.unchanged += 1  # By far the most, at each look.
            continue
        _settle_claim(known, verdict, rule_id, claimants, mine, held, broken)
    taken = held | {rule_id for rule_id in claims if rule_id in known.rules}
    taken |= {readable.parsed.rule_id for readable in verdict.defined}
    verdict.removed = [rule for rule in mine.values() if rule.rule_id not in taken]
    _compare_rejections(known, verdict)
    return verdict


def _look_alikes(
    files: Mapping[str, ScannedFile], mine: Mapping[str, StandingRule]
) -> dict[str, str]:
    """Return each path that nobody can tell from another, with that other path.

    Two spellings of one name in Unicode (a composed letter, or a letter and its accent)
    look the same to a reviewer, and are one file where the file system normalises names.
    The path that has a rule keeps it, else the first one.
    """
    forms: dict[str, list[str]] = defaultdict(list)
    for path in files:
        if not path.isascii():
            forms[unicodedata.normalize("NFC", path)].append(path)
    twins: dict[str, str] = {}
    for paths in forms.values():
        first = min(paths, key=lambda path: (path not in mine, path))
        twins.update((path, first) for path in paths if path != first)
    return twins


def _read(file: ScannedFile, parse: Parse, twin: str | None) -> Readable | None:
    if twin is not None:
        other = ascii(twin)
        raise RuleFormatError(file.path, f"its name looks just like {other}: rename one of them")
    if file.problem is not None:
        raise RuleFormatError(file.path, file.problem)
    if printable(file.path) != file.path:
        raise RuleFormatError(printable(file.path), "its name is not UTF-8: rename it")
    return parse(file)


def _settle_claim(
    known: StandingRules,
    verdict: Verdict,
    rule_id: str,
    claimants: list[Readable | StandingRule],
    mine: Mapping[str, StandingRule],
    held: set[str],
    broken: frozenset[str],
) -> None:
    """Give a rule id to one file: to the one that has it, else to the first by path."""
    current = known.rules.get(rule_id)
    foreign = current is not None and current.source != known.source
    kept = current is not None and rule_id in broken
    winner = min(claimants, key=lambda c: (current is None or _path(c) != current.path, _path(c)))
    for claimant in claimants:
        if isinstance(claimant, StandingRule):
            # Unchanged since its definition, so it has the id in the log and wins.
            verdict.unchanged += 1
        elif claimant is winner and not foreign and not kept:
            verdict.defined.append(claimant)
        else:
            owner = f"source {current.source!r}" if foreign and current else repr(_path(winner))
            if kept and current:
                owner = repr(current.path)
            reason = f"rule id {rule_id!r} is already taken by {owner}: give this rule its own"
            file = claimant.file
            verdict.rejected.append(Rejected(file.path, file.sha256, reason))
            if file.path in mine:
                held.add(mine[file.path].rule_id)


def _path(claimant: Readable | StandingRule) -> str:
    return claimant.path if isinstance(claimant, StandingRule) else claimant.file.path


def _compare_rejections(known: StandingRules, verdict: Verdict) -> None:
    now = {rejected.path for rejected in verdict.rejected}
    verdict.ended = sorted(path for path in known.rejections if path not in now)
    verdict.new_rejections = [
        rejected
        for rejected in verdict.rejected
        if known.rejections.get(rejected.path) != (rejected.sha256, rejected.reason)
    ]
