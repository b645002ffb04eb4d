"""Comparing the files of a source with what the log says: what has to be appended.

Pure computation: files that were parsed before, and the rules that stand, give a verdict. The
set is judged as a whole, because files that swap their ids, or claim one id together, cannot be
judged one after the other.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from eventstore.system.printable import escape_path
from projections.rules.sources.findings import (
    ChangingFile,
    InvalidFile,
    ParsedFile,
    UnchangedFile,
)
from projections.rules.sources.scan import unseen_folder

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from projections.rules.sources.findings import FileFinding
    from projections.rules.standing_rules import StandingRule, StandingRules

Claimant: TypeAlias = "ParsedFile | UnchangedFile"
"""A file that claims a rule id."""

_NOTHING: Final = hashlib.sha256().hexdigest()
"""The hash of an empty file: any number of unrelated files are empty."""


MAX_CLAIM: Final = 4 * 1024 * 1024
"""Largest file whose rejection carries its definitions, in bytes; far below an event's limit."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A file that cannot be taken, and why; ``line`` counts from 1.

    ``claim`` is what the file defines where nothing but rules of other sources is against it:
    it takes the place of those, ``waits_for``, as soon as the other sources give them up.
    """

    path: str
    sha256: str
    reason: str
    line: int | None = None
    claim: ParsedFile | None = None
    waits_for: frozenset[str] = frozenset()


@dataclass(slots=True)
class Verdict:
    """What a set of files means for the log.

    ``rejected`` holds every file that is rejected now, ``new_rejections`` those that the log
    does not hold yet, ``ended`` the paths whose recorded rejection no longer stands.
    ``changing`` counts files that changed while they were read. ``held`` counts rules that stay
    although their file was not taken. ``ignored`` counts files that are no rules by their names;
    it is None where that is not to be recorded.
    """

    defined: list[ParsedFile] = field(default_factory=list)
    removed: list[StandingRule] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    new_rejections: list[Rejected] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    unchanged: int = 0
    changing: int = 0
    held: int = 0
    ignored: int | None = None

    @property
    def loses_everything(self) -> bool:
        """Whether several rules would be removed, and none would stand any more."""
        stands = self.defined or self.unchanged or self.held
        return len(self.removed) > 1 and not stands

    @property
    def changes_anything(self) -> bool:
        """Whether anything has to be appended."""
        return bool(self.defined or self.removed or self.new_rejections or self.ended)

    def counts_anew(self, standing: StandingRules) -> bool:
        """Return whether the log has another number of ignored files than is to be recorded."""
        recorded = standing.ignored.get(standing.source, 0)
        return self.ignored is not None and self.ignored != recorded

    @property
    def incomplete(self) -> bool:
        """Whether part of this may be an edit in progress: gone, empty or broken files."""
        empty = any(not parsed.content for parsed in self.defined)
        rejected = any(one.claim is None for one in self.new_rejections)
        return bool(self.removed or rejected or self.changing or empty)


def reconcile(
    standing: StandingRules, findings: Mapping[str, FileFinding], empty: Iterable[str] = ()
) -> Verdict:
    """Return what has to be appended so that the log says what the files say.

    ``empty`` are folders, each ending in ``/``, that are there without any entry. Where several
    rules stand from one of them, they stay: an unmounted volume leaves just such a folder.
    """
    return _Reconciliation(standing, findings, empty).verdict()


def judge_edits(
    standing: StandingRules, unsettled: Iterable[FileFinding], count: int
) -> Verdict | None:
    """Return what :func:`reconcile` would where files were edited only; None where more happened.

    ``unsettled`` are the findings of all files but the unchanged ones, ``count`` is the number
    of all. The files are those of an earlier verdict by which all rules stood and no file was
    rejected; each is to have the ids that it had.
    """
    mine, defined = standing.rules_by_path(), []
    if standing.rejections:
        return None
    for finding in unsettled:
        if not isinstance(finding, ParsedFile):
            return None
        known = {rule.rule_id for rule in mine.get(finding.file.path, ())}
        if not known or known != set(finding.rule_ids) or len(known) != len(finding.rule_ids):
            return None
        defined.append(finding)
    defined.sort(key=_order)
    return Verdict(defined=defined, unchanged=count - len(defined))


def _order(parsed: ParsedFile) -> tuple[str, str]:
    """Return what files are sorted by: their first rule id, then their paths."""
    return min(parsed.rule_ids, default=""), parsed.file.path


class _Reconciliation:
    """One comparison: which file has which rule id, and which rules stay without a file.

    ``_held`` are the rules of this source whose file is there but was not taken: their last
    good version stays. ``_renamed`` holds contents and ids of files whose new name is rejected.
    """

    def __init__(
        self,
        standing: StandingRules,
        findings: Mapping[str, FileFinding],
        empty: Iterable[str],
    ) -> None:
        self._standing = standing
        self._findings = findings
        self._empty = tuple(empty)
        self._renamed: set[str] = set()
        self._mine = standing.rules_by_path()
        self._claims: dict[str, list[Claimant]] = defaultdict(list)
        self._parsed: list[ParsedFile] = []
        self._held: set[str] = set()
        self._broken: frozenset[str] = frozenset()
        self._given: dict[str, str] = {}
        self._verdict = Verdict()

    def verdict(self) -> Verdict:
        """Compare, once."""
        self._collect_claims()
        contested = self._contested()
        for parsed in self._parsed:
            if contested.isdisjoint(parsed.rule_ids):
                self._verdict.defined.append(parsed)  # By far the most.
            else:
                self._decide(parsed)
        self._collect_removals()
        self._compare_rejections()
        return self._verdict

    def _collect_claims(self) -> None:
        twins = _look_alikes(self._findings, self._mine.keys())
        for path, finding in self._findings.items():
            if isinstance(finding, UnchangedFile):
                self._verdict.unchanged += 1
                for rule in finding.rules:
                    self._claims[rule.rule_id].append(finding)
            elif path in twins:
                other = ascii(twins[path])
                reason = f"its name looks just like {other}: rename one of them"
                self._refuse(InvalidFile(finding.file, reason))
            elif isinstance(finding, ParsedFile):
                self._parsed.append(finding)
                for rule_id in finding.rule_ids:
                    self._claims[rule_id].append(finding)
            elif isinstance(finding, ChangingFile):
                self._verdict.changing += 1
                self._hold(path)
            else:
                self._refuse(finding)
        self._parsed.sort(key=_order)
        self._broken = frozenset(self._held)

    def _contested(self) -> frozenset[str]:
        """Return the ids that more than one file claims, or that are not free to be claimed."""
        return frozenset(
            rule_id
            for rule_id, claimants in self._claims.items()
            if len(claimants) > 1 or self._taken_by(rule_id) is not None
        )

    def _taken_by(self, rule_id: str) -> str | None:
        """Return who has a rule id that no file here may claim, None where one may.

        That is another source, or a file that is there and cannot be read now.
        """
        current = self._standing.rules.get(rule_id)
        if current is None:
            return None
        if rule_id in self._broken:
            return repr(current.path)
        return None if current.source == self._standing.source else f"source {current.source!r}"

    def _decide(self, parsed: ParsedFile) -> None:
        """Take a file where it may have each of its ids; its rules are taken together.

        A contested id goes to the file that has it, else to the first by path.
        """
        for rule_id in sorted(parsed.rule_ids):
            owner = self._taken_by(rule_id) or self._first_claim(rule_id, parsed)
            if owner is not None:
                reason = f"rule id {rule_id!r} is already taken by {owner}: give this rule its own"
                if self._is_foreign(rule_id):
                    reason += ", or if that directory has moved here, 'eventstore source rename'"
                self._refuse(InvalidFile(parsed.file, reason), self._claim_of(parsed))
                return
        self._verdict.defined.append(parsed)
        self._given.update(dict.fromkeys(parsed.rule_ids, parsed.file.path))

    def _claim_of(self, parsed: ParsedFile) -> tuple[ParsedFile, frozenset[str]] | None:
        """Return a file with the foreign ids that it waits for, if nothing else is against it."""
        foreign = frozenset(rule_id for rule_id in parsed.rule_ids if self._is_foreign(rule_id))
        own = (rule_id for rule_id in parsed.rule_ids if rule_id not in foreign)
        free = all(
            self._taken_by(rule_id) is None and self._first_claim(rule_id, parsed) is None
            for rule_id in own
        )
        return (parsed, foreign) if free and len(parsed.content) <= MAX_CLAIM else None

    def _is_foreign(self, rule_id: str) -> bool:
        current = self._standing.rules.get(rule_id)
        return current is not None and current.source != self._standing.source

    def _first_claim(self, rule_id: str, parsed: ParsedFile) -> str | None:
        """Return the file that has this id, or has it before this one; None where this has."""
        current = self._standing.rules.get(rule_id)
        for claimant in self._claims[rule_id]:
            is_owner = current is not None and claimant.file.path == current.path
            if claimant is not parsed and is_owner:
                return repr(claimant.file.path)
        given = self._given.get(rule_id)
        return None if given is None else repr(given)

    def _refuse(
        self, invalid: InvalidFile, claim: tuple[ParsedFile, frozenset[str]] | None = None
    ) -> None:
        file = invalid.file
        self._verdict.rejected.append(
            Rejected(
                escape_path(file.path), file.sha256, invalid.reason, invalid.line, *(claim or ())
            )
        )
        self._hold(file.path)
        if file.is_folder:
            for path in self._mine:
                if path.startswith(f"{file.path}/"):
                    self._hold(path)
        elif file.sha256 and file.sha256 != _NOTHING:
            self._renamed |= {file.sha256, *invalid.rule_ids}

    def _hold(self, path: str) -> None:
        self._held.update(rule.rule_id for rule in self._mine.get(path, ()))

    def _collect_removals(self) -> None:
        taken = self._held | self._claims.keys()
        gone = [
            rule for rules in self._mine.values() for rule in rules if rule.rule_id not in taken
        ]
        stays = {
            rule.rule_id
            for rule in gone
            if rule.sha256 in self._renamed or rule.rule_id in self._renamed
        }
        stays |= self._lost_with_a_folder([rule for rule in gone if rule.rule_id not in stays])
        self._verdict.held = len(self._held | stays)
        self._verdict.removed = [rule for rule in gone if rule.rule_id not in stays]

    def _lost_with_a_folder(self, gone: list[StandingRule]) -> set[str]:
        """Refuse each folder that lies empty and had several rules; return the rules' ids.

        A rule whose content is defined elsewhere has moved, and is not lost.
        """
        moved = {parsed.file.sha256 for parsed in self._verdict.defined}
        lost: set[str] = set()
        for folder in self._empty:
            inside = {
                rule.rule_id
                for rule in gone
                if rule.path.startswith(folder) and rule.sha256 not in moved
            }
            if len(inside) > 1:
                lost |= inside
                reason = (
                    f"is an empty folder now, but {len(inside)} rules stand from it; they stay: "
                    "if they are meant to go, remove the folder as well, or say --allow-empty"
                )
                self._refuse(InvalidFile(unseen_folder(folder.removesuffix("/"), reason), reason))
        return lost

    def _compare_rejections(self) -> None:
        known, rejected = self._standing.rejections, self._verdict.rejected
        now = {one.path for one in rejected}
        self._verdict.ended = sorted(path for path in known if path not in now)
        self._verdict.new_rejections = [
            one
            for one in rejected
            if known.get(one.path) != (one.sha256, one.reason)
            or self._standing.waits_for(one.path) != one.waits_for
        ]


def _look_alikes(findings: Mapping[str, FileFinding], mine: Collection[str]) -> dict[str, str]:
    """Return each path that cannot be told from another by eye, with that other path.

    Two spellings of one name in Unicode (a composed letter, or a letter and its accent)
    look the same to a reviewer, and are one file where the file system normalises names.
    The path that has a rule keeps it, else the first one.
    """
    forms: dict[str, list[str]] = defaultdict(list)
    for path in findings:
        if not path.isascii():
            forms[unicodedata.normalize("NFC", path)].append(path)
    twins: dict[str, str] = {}
    for paths in forms.values():
        first = min(paths, key=lambda path: (path not in mine, path))
        twins.update((path, first) for path in paths if path != first)
    return twins
