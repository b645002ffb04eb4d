"""Capturing row changes: triggers that write them into the capture table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic

from projections.sql.events import rows_events
from projections.sql.model import TableT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from eventstore import NewEvent
    from projections.sql.model import Change


class Capture(ABC, Generic[TableT]):
    """The triggers and the capture table, on one connection, in the caller's transaction.

    What is captured is in a table of the same database: a failed statement, a savepoint or a
    rollback undoes it together with the change itself.
    """

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    @abstractmethod
    def list_tables(self) -> list[str]:
        """Return the names of the captured tables."""

    @abstractmethod
    def install(self, tables: Iterable[TableT]) -> None:
        """Capture the changes of these tables from now on."""

    @abstractmethod
    def remove(self) -> None:
        """Drop the triggers of all tables."""

    @abstractmethod
    def read_changes(self, tables: Mapping[str, TableT]) -> Iterator[Change]:
        """Yield the transaction's row changes in order, corrections included.

        Updates that changed no value are left out. :meth:`clear` removes what was read.
        """

    @abstractmethod
    def clear(self) -> None:
        """Delete what was captured."""

    def take_events(self, tables: Mapping[str, TableT]) -> list[NewEvent]:
        """Return the events of what was captured, and delete it."""
        events = rows_events(self.read_changes(tables))
        self.clear()
        return events
