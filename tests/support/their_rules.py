"""The classes of a program that has its own, for a store to build and to be given."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from datetime import datetime


@dataclass(frozen=True)
class TheirState:
    """A state of the caller's own class."""

    state: str = "enabled"
    confidence_max: float | None = None
    expires_at: datetime | None = None
    reason: str | None = None
    set_by: str | None = None
    set_at: datetime | None = None


class TheirRule(NamedTuple):
    """A rule of the caller's own class."""

    rule_id: str
    rule_version: int
    name: str
    applies_to: frozenset[str]
    match_spec: dict[str, Any]
    emits: tuple[Any, ...]
    evidence_fields: tuple[str, ...]
    state: TheirState
    description: str = ""
