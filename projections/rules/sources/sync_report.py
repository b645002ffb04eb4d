"""What one look at a directory of rules found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from projections.rules.sources.reconcile import Verdict


class RejectedFile(NamedTuple):
    """A file that is rejected now, and why; ``line`` counts from 1, None for the whole file."""

    path: str
    line: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class SyncReport:
    """What one look at the directory found.

    ``defined`` and ``removed`` count what was appended; ``rejected`` the files that are
    rejected now, ``unchanged`` those whose rule stands as it is. ``position`` is that of
    the commit, ``None`` where nothing had to be appended. ``waiting`` counts the changes that
    were not taken because their files did not come to rest; ``rejections`` has each file that
    is rejected now. ``ignored`` counts the files that are no rules by their names;
    :attr:`RuleSync.ignored` lists them.
    """

    defined: int = 0
    removed: int = 0
    rejected: int = 0
    unchanged: int = 0
    position: int | None = None
    ignored: int = 0
    waiting: int = 0
    rejections: tuple[RejectedFile, ...] = ()


def report_of(
    verdict: Verdict, position: int | None, *, ignored: int = 0, waiting: int = 0
) -> SyncReport:
    """Return what a verdict found, and the position of its commit, if there was one."""
    return SyncReport(
        len(verdict.defined),
        len(verdict.removed),
        len(verdict.rejected),
        verdict.unchanged,
        position,
        ignored,
        waiting,
        tuple(RejectedFile(one.path, one.line, one.reason) for one in verdict.rejected),
    )
