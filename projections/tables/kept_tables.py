"""The base of the tables that each trim of the log keeps what they need for."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from projections.tables.projection import TableProjection

if TYPE_CHECKING:
    from eventstore.log.events import Event


class KeptTables(TableProjection):
    """Tables for which a keeper chooses events, by name, and to which redacted events count too."""

    takes_redacted = True
    from_snapshot = True
    named_by_trims = True
    grouped: ClassVar[str] = ""
    """The type of events that are applied together where they follow one another."""

    def group(self, event: Event) -> str | None:
        """Return the type of an event that is applied together with its neighbours."""
        return event.type if event.type == self.grouped else None
