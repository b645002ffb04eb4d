"""Looking at a directory of rules: scan, parse, reconcile, without touching any log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from projections.rules.formats import get_format
from projections.rules.sources.parsing import FileParser
from projections.rules.sources.reconcile import reconcile
from projections.rules.sources.references import References
from projections.rules.sources.scan import MAX_RULE_BYTES, Scanner

if TYPE_CHECKING:
    import re
    from pathlib import Path

    from projections.rules.sources.ignored_files import IgnoredFile
    from projections.rules.sources.reconcile import Verdict
    from projections.rules.sources.scan import ScannedFile
    from projections.rules.standing_rules import StandingRule, StandingRules

MOST_IGNORED_READ: Final = 1_000
"""How many ignored files are read to find the one that a removed rule was renamed to."""


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

    @property
    def ignored(self) -> tuple[IgnoredFile, ...]:
        """The files that the latest look has passed over by their names, sorted by path."""
        return self._scanner.ignored

    def look(self, standing: StandingRules) -> Verdict:
        """Scan once and return what the files mean for the log.

        Raises SourceError where the directory cannot be taken as it is.
        """
        self.files = self._scanner.scan()
        findings = self._parser.parse(self.files, standing)
        empty = () if self._allow_empty else self._scanner.empty
        verdict = reconcile(standing, self._references.resolve(findings, standing), empty)
        # What is about to be defined is looked at again, until the directory rests.
        self._parser.retain(parsed.file.path for parsed in verdict.defined)
        return verdict

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
