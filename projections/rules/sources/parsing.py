"""Looking at a directory of rules: scanned, parsed and judged, without touching any log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import InvalidInputError
from eventstore.log.events import NewEvent
from projections.rules.events import RULE_DEFINED, encode_content
from projections.rules.formats import RuleFormatError, get_format
from projections.rules.model import encode_rule
from projections.rules.sources.reconcile import Readable, Verdict, judge
from projections.rules.sources.scan import MAX_RULE_BYTES, ScannedFile, Scanner

if TYPE_CHECKING:
    import re
    from pathlib import Path

    from projections.rules.standing_rules import StandingRules


class RuleReader:
    """Judges the files below ``root`` against what is ``known``, again and again.

    ``format`` is a registered rule format, ``filename`` overrides its allow-list of base
    names, ``max_bytes`` limits a file's size. ``files`` are those of the latest look. The
    master and the offline check both judge with this one, so they never disagree.
    """

    def __init__(
        self,
        root: Path,
        known: StandingRules,
        *,
        format: str,  # noqa: A002 - the word that users write
        filename: re.Pattern[str] | None = None,
        max_bytes: int = MAX_RULE_BYTES,
    ) -> None:
        self._known = known
        self._format = get_format(format)
        self._scanner = Scanner(root, filename or self._format.filename, max_bytes)
        self._parsed: dict[str, Readable] = {}
        self.files: dict[str, ScannedFile] = {}

    def look(self) -> Verdict:
        """Scan once and say what the files mean for the log.

        Raises SourceError where the directory cannot be taken as it is.
        """
        self.files = self._scanner.scan()
        verdict = judge(self._known, self.files, self._format.name, self._parse)
        kept = {readable.file.path for readable in verdict.defined}
        self._parsed = {path: self._parsed[path] for path in kept & self._parsed.keys()}
        return verdict

    def definition(self, readable: Readable) -> NewEvent:
        """Return the event that defines a rule as its file says.

        Raises InvalidInputError where no event can hold it.
        """
        previous = self._known.rules.get(readable.parsed.rule_id)
        return NewEvent(
            RULE_DEFINED,
            {
                "rule_id": readable.parsed.rule_id,
                "path": readable.file.path,
                "previous_path": previous.path if previous else None,
                "source": self._known.source,
                "format": self._format.name,
                "sha256": readable.file.sha256,
                **encode_content(readable.content),
                "rule": encode_rule(readable.parsed.compiled),
            },
        )

    def _parse(self, file: ScannedFile) -> Readable | None:
        done = self._parsed.get(file.path)
        if done is not None and done.file == file:
            return done
        content = self._scanner.read(file)
        if content is None:
            return None
        readable = Readable(file, content, self._format.read(file.path, content))
        try:
            self.definition(readable)
        except InvalidInputError as error:
            # One rule that no event can hold must not stop the others.
            raise RuleFormatError(file.path, str(error)) from error
        self._parsed[file.path] = readable
        return readable
