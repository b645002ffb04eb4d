"""Checking a directory of rules before it is synced: what a master would find, without a log."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from projections.rules.sources._source_reader import SourceReader
from projections.rules.sources.scan import MAX_RULE_BYTES, SourceError
from projections.rules.standing_rules import StandingRules

if TYPE_CHECKING:
    import os

    from projections.rules.sources.reconcile import Rejected

ATTEMPTS: Final = 5
"""How often to look again where files change while they are read."""


@dataclass(frozen=True, slots=True)
class CheckReport:
    """``good`` counts the rules a master would define; ``findings`` are the files it would not.

    A finding's ``path`` is relative to the directory; its ``line`` counts from 1 and is
    ``None`` where the fault is the file as a whole, as with an id that another file has.
    """

    good: int
    findings: tuple[Rejected, ...]


def check_rules(
    root: str | os.PathLike[str],
    *,
    format: str = "ttp",  # noqa: A002 - the word that users write
    max_bytes: int = MAX_RULE_BYTES,
) -> CheckReport:
    """Compare the files below ``root`` with an empty log, as a master would; append nothing.

    Raises SourceError where the directory is missing, cannot be listed, changes without
    rest, or holds no file of the format: a check that found nothing to check must not pass.
    """
    folder = Path(root).absolute()
    reader, nothing = SourceReader(folder, format=format, max_bytes=max_bytes), StandingRules("")
    for _ in range(ATTEMPTS):
        verdict = reader.look(nothing)
        if not reader.files:
            raise SourceError(folder, f"holds no file that the format {format!r} reads")
        if not verdict.changing:
            findings = sorted(verdict.rejected, key=lambda found: found.path)
            return CheckReport(len(verdict.defined), tuple(findings))
    raise SourceError(folder, "changes while it is read: check it once it has come to rest")
