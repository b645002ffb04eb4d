"""Looking at a directory of rules: scan, parse, reconcile, without touching any log."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from projections.rules.formats import get_format
from projections.rules.sources.findings import UnchangedFile
from projections.rules.sources.parsing import FileParser
from projections.rules.sources.reconcile import judge_edits, reconcile
from projections.rules.sources.references import References
from projections.rules.sources.scan import MAX_RULE_BYTES, Scanner

if TYPE_CHECKING:
    import re
    from collections.abc import Set as AbstractSet
    from pathlib import Path

    from projections.rules.sources.findings import FileFinding
    from projections.rules.sources.ignored_files import IgnoredFile
    from projections.rules.sources.reconcile import Verdict
    from projections.rules.sources.scan import ScannedFile
    from projections.rules.standing_rules import StandingRule, StandingRules

MOST_IGNORED_READ: Final = 1_000
"""How many ignored files are read to find the one that a removed rule was renamed to."""


@dataclass(slots=True)
class _Known:
    """What the latest look has found in each file, and of which files more is to be expected.

    ``all_stand`` says that its verdict has rejected, removed and kept back nothing.
    """

    standing: StandingRules
    findings: dict[str, FileFinding]
    unsettled: set[str]
    all_stand: bool


class SourceReader:
    """Compares the files below ``root`` with the rules that stand, again and again.

    ``format`` is a registered rule format, ``filename`` says which base names are rules instead
    of its endings, ``max_bytes`` limits a file's size, and ``allow_empty`` lets a folder that
    lies empty take its rules with it. ``files`` are those of the latest look. The
    master and the offline check both use this class, so they never disagree.
    """

    def __init__(
        self,
        root: Path,
        *,
        format: str,  # noqa: A002 - the word that users write
        filename: re.Pattern[str] | None = None,
        max_bytes: int = MAX_RULE_BYTES,
        allow_empty: bool = False,
    ) -> None:
        rule_format = get_format(format)
        self._scanner = Scanner(
            root,
            filename or rule_format.filename,
            max_bytes,
            unlike="does not match the pattern of the source"
            if filename
            else f"has no ending of the format {format!r}",
        )
        self._allow_empty = allow_empty
        self._parser = FileParser(self._scanner, rule_format)
        self._references = References(rule_format, self._parser)
        self.files: dict[str, ScannedFile] = {}
        self.by_paths = False
        """Whether the latest look was one at single paths."""
        self._known: _Known | None = None

    @property
    def ignored(self) -> tuple[IgnoredFile, ...]:
        """The files that the latest look has passed over by their names, sorted by path."""
        return self._scanner.ignored

    def look(self, standing: StandingRules, changed: AbstractSet[str] | None = None) -> Verdict:
        """Scan once and return what the files mean for the log.

        Only the paths of ``changed`` are looked at, where it is given and no more is needed: all
        others are as the latest look has found them. Raises SourceError where the directory
        cannot be taken as it is; the next look is then one at everything.
        """
        touched = standing.take_touched()
        known, self._known = self._known, None
        edits = None
        if changed is not None and touched is not None and known and known.standing is standing:
            edits = self._scanner.scan_again(changed)
        self.by_paths = edits is not None
        if known is None or edits is None or touched is None:
            self.files = self._scanner.scan()
            findings = self._parser.parse(self.files, standing)
            unsettled = {path for path in findings if not _is_unchanged(findings[path])}
            verdict = None
        else:
            self.files, paths = edits
            findings = known.findings
            count = len(findings)
            unsettled = self._find_again(paths | touched | known.unsettled, findings, standing)
            same = len(findings) == count and findings.keys() >= paths | touched
            verdict = self._judge_edits(unsettled, findings, standing, known) if same else None
        if verdict is None:
            empty = () if self._allow_empty else self._scanner.empty
            verdict = reconcile(standing, self._references.resolve(findings, standing), empty)
        # What is about to be defined is looked at again, until the directory rests.
        self._parser.retain(parsed.file.path for parsed in verdict.defined)
        stays = verdict.rejected or verdict.removed or verdict.held or verdict.changing
        self._known = _Known(standing, findings, unsettled, all_stand=not stays)
        return verdict

    def _find_again(
        self, paths: AbstractSet[str], findings: dict[str, FileFinding], standing: StandingRules
    ) -> set[str]:
        """Bring the findings of these paths up to date; return which are not unchanged files."""
        unsettled = set()
        for path in paths:
            file = self.files.get(path)
            if file is None:
                findings.pop(path, None)
                continue
            findings[path] = finding = self._parser.find(file, standing)
            if not _is_unchanged(finding):
                unsettled.add(path)
        return unsettled

    def _judge_edits(
        self,
        unsettled: AbstractSet[str],
        findings: dict[str, FileFinding],
        standing: StandingRules,
        known: _Known,
    ) -> Verdict | None:
        fresh = [findings[path] for path in unsettled]
        if not known.all_stand or self._references.concern(fresh, standing):
            return None
        return judge_edits(standing, fresh, len(findings))

    def removed_by_name(self, verdict: Verdict) -> list[tuple[StandingRule, IgnoredFile]]:
        """Return the rules that are removed because their file got a name that is ignored.

        A file is known again by its content. Reads the ignored files, where there are not too
        many to do that.
        """
        gone = {rule.sha256: rule for rule in verdict.removed}
        files = [file for file in self.ignored if not file.path.endswith("/")]
        if not gone or len(files) > MOST_IGNORED_READ:
            return []
        hashed = ((self._scanner.digest(file.path), file) for file in files)
        return [(gone[digest], file) for digest, file in hashed if digest in gone]


def _is_unchanged(finding: FileFinding) -> bool:
    return isinstance(finding, UnchangedFile)
