"""Looking at a directory of rules: scan, parse, reconcile, without touching any log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from projections.rules.formats import get_format
from projections.rules.sources.parsing import FileParser
from projections.rules.sources.reconcile import reconcile
from projections.rules.sources.references import References
from projections.rules.sources.scan import MAX_RULE_BYTES, Scanner

if TYPE_CHECKING:
    import re
    from pathlib import Path

    from projections.rules.sources.reconcile import Verdict
    from projections.rules.sources.scan import ScannedFile
    from projections.rules.standing_rules import StandingRules


class SourceReader:
    """Compares the files below ``root`` with the rules that stand, again and again.

    ``format`` is a registered rule format, ``filename`` overrides its allow-list of base
    names, ``max_bytes`` limits a file's size. ``files`` are those of the latest look. The
    master and the offline check both use this class, so they never disagree.
    """

    def __init__(
        self,
        root: Path,
        *,
        format: str,  # noqa: A002 - the word that users write
        filename: re.Pattern[str] | None = None,
        max_bytes: int = MAX_RULE_BYTES,
    ) -> None:
        rule_format = get_format(format)
        self._scanner = Scanner(root, filename or rule_format.filename, max_bytes)
        self._parser = FileParser(self._scanner, rule_format)
        self._references = References(rule_format, self._parser)
        self.files: dict[str, ScannedFile] = {}

    def look(self, standing: StandingRules) -> Verdict:
        """Scan once and return what the files mean for the log.

        Raises SourceError where the directory cannot be taken as it is.
        """
        self.files = self._scanner.scan()
        findings = self._parser.parse(self.files, standing)
        verdict = reconcile(standing, self._references.resolve(findings, standing))
        # What is about to be defined is looked at again, until the directory rests.
        self._parser.retain(parsed.file.path for parsed in verdict.defined)
        return verdict
