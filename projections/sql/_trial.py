"""Trying out the events of tables without the tables: what a rebuild would refuse of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from eventstore import Event
    from projections.sql.model import Change, ReservedNameError


class ReservedNames(NamedTuple):
    """Which names that version 0.1.0 left to programs are the log's in its database, and whose."""

    occupied: frozenset[str]
    own: frozenset[str]
    """Those that the program's objects have."""


class Trial(Protocol):
    """What the schema of the tables becomes by the definitions of events, one after another."""

    def define(self, event: Event) -> None:
        """Judge the definitions of a ``SchemaChanged`` event, and note what they do.

        Raises ReplayError for what a rebuild would refuse; then nothing of it is noted.
        """

    def check(self, change: Change) -> None:
        """Raise LookupError for a change of a row with other columns than its table has."""

    def forget(self) -> None:
        """Know nothing of the tables any more, because events before the next one are missing."""

    def find_taken(self) -> list[ReservedNameError]:
        """Return an error for each name that an object has and that no rebuild leaves it."""
