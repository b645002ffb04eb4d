"""What a verification finds: single findings, and the report that it ends with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from eventstore.log.events import Cursor

MAX_FINDINGS: Final = 1_000
"""Findings that are kept; the rest are counted."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One fault: where it is (``position``, if it is an event), and what is wrong."""

    position: int | None
    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a verification.

    ``cursor`` is the head that was reached: kept elsewhere, it is the anchor of a later one.
    ``events`` counts rows. ``more`` counts findings beyond those that are listed.
    """

    cursor: Cursor
    events: int
    findings: tuple[Finding, ...]
    more: int = 0

    @property
    def position(self) -> int:
        """The last position that was checked."""
        return self.cursor.position

    @property
    def ok(self) -> bool:
        """Whether nothing was found."""
        return not self.findings


@dataclass(slots=True)
class Findings:
    """Findings up to MAX_FINDINGS; further ones are only counted."""

    kept: list[Finding] = field(default_factory=list)
    more: int = 0

    def add(self, position: int | None, where: str, what: str) -> None:
        """Keep a finding, or count it."""
        if len(self.kept) < MAX_FINDINGS:
            self.kept.append(Finding(position, where, what))
        else:
            self.more += 1

    def event(self, position: object, what: str) -> None:
        """Keep a finding about one event."""
        number = position if isinstance(position, int) else None
        self.add(number, f"event {position!r:.40}", what)
