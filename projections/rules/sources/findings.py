"""What each file of a source holds: values, made by parsing and compared by reconcile."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from projections.rules.formats import ParsedRule
    from projections.rules.sources.scan import ScannedFile
    from projections.rules.standing_rules import StandingRule


@dataclass(frozen=True, slots=True)
class ParsedFile:
    """A file that holds rules, with its exact content and the name of its format."""

    file: ScannedFile
    content: bytes
    format: str
    rules: tuple[ParsedRule, ...]

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The ids of its rules."""
        return tuple(rule.rule_id for rule in self.rules)


@dataclass(frozen=True, slots=True)
class InvalidFile:
    """A file whose rules cannot be taken, and why; ``line`` counts from 1.

    ``rule_ids`` are those of the rules in it, where only its name is to blame.
    """

    file: ScannedFile
    reason: str
    line: int | None = None
    rule_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ChangingFile:
    """A file that changed between the scan and the reading, or that is still being written."""

    file: ScannedFile


@dataclass(frozen=True, slots=True)
class UnchangedFile:
    """A file that is as its standing rules were defined; it is not read."""

    file: ScannedFile
    rules: tuple[StandingRule, ...]

    @property
    def rule_ids(self) -> tuple[str, ...]:
        """The ids of its rules."""
        return tuple(rule.rule_id for rule in self.rules)


FileFinding: TypeAlias = ParsedFile | InvalidFile | ChangingFile | UnchangedFile
