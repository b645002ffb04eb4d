"""Checking a directory of rules before it is synced: what a master would find, without a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from projections.rules.formats.pysigma import pysigma_faults
from projections.rules.sources._source_reader import SourceReader
from projections.rules.sources.reconcile import Rejected
from projections.rules.sources.scan import MAX_RULE_BYTES
from projections.rules.sources.source_error import SourceError
from projections.rules.standing_rules import StandingRules

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator

    from projections.rules.sources.ignored_files import IgnoredFile
    from projections.rules.sources.reconcile import Verdict

ATTEMPTS: Final = 5
"""How often to look again where files change while they are read."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """``good`` counts the rules a master would define; ``findings`` are what is wrong.

    That is each file that a master would reject, and what its format remarks on a rule that a
    master takes and no engine can use, as a condition that does not parse. A finding's ``path``
    is relative to the directory; its ``line`` counts from 1 and is ``None`` where the fault is
    the file as a whole, as with an id that another file has. ``ignored`` are the files that are
    no rules by their names.
    """

    good: int
    findings: tuple[Rejected, ...]
    ignored: tuple[IgnoredFile, ...] = ()


def check_rules(
    root: str | os.PathLike[str],
    *,
    format: str = "ttp",  # noqa: A002 - the word that users write
    max_bytes: int = MAX_RULE_BYTES,
    pysigma: bool = False,
) -> CheckReport:
    """Compare the files below ``root`` with an empty log, as a master would; append nothing.

    With ``pysigma`` the findings are also what pySigma says of the files that a master would
    take; that needs the extra ``sigma``, and the format of that name.

    Raises SourceError where the directory is missing, cannot be listed, changes without rest,
    or holds no file of the format: a check that found nothing to check must not pass.
    """
    folder = Path(root).absolute()
    reader, nothing = SourceReader(folder, format=format, max_bytes=max_bytes), StandingRules("")
    for _ in range(ATTEMPTS):
        verdict = reader.look(nothing)
        if not reader.files:
            ignored = f" ({len(reader.ignored)} ignored)" if reader.ignored else ""
            raise SourceError(folder, f"holds no file that the format {format!r} reads{ignored}")
        if not verdict.changing:
            findings = sorted(
                [*verdict.rejected, *_remarks(verdict, pysigma)], key=lambda one: one.path
            )
            good = sum(len(parsed.rules) for parsed in verdict.defined)
            return CheckReport(good, tuple(findings), reader.ignored)
    raise SourceError(folder, "changes while it is read: check it once it has come to rest")


def _remarks(verdict: Verdict, pysigma: bool) -> Iterator[Rejected]:
    for parsed in verdict.defined:
        for reason in pysigma_faults(parsed.content) if pysigma else ():
            yield Rejected(parsed.file.path, parsed.file.sha256, reason)
        for rule in parsed.rules:
            for reason, line in rule.remarks:
                yield Rejected(parsed.file.path, parsed.file.sha256, reason, line)
