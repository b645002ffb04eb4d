"""Capturing row changes: triggers that write them into the capture table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic

from projections.sql._compact import MANY_ROWS, compact_event, compact_table, encode_rows
from projections.sql.events import PART_BYTES, ROWS_CHANGED, rows_events
from projections.sql.model import TableT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

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
        events = self._inserted_events(tables)
        if events is None:
            events = rows_events(self.read_changes(tables))
        self.clear()
        return events

    def _inserted_events(self, tables: Mapping[str, TableT]) -> list[NewEvent] | None:
        """Return the events of many inserted rows; ``None`` for anything else.

        Nothing has to be corrected where rows were inserted and none was changed.
        """
        if not self._has_many(MANY_ROWS) or not self._has_only_inserts():
            return None
        names = list(tables)
        described = [compact_table(tables[name].table) for name in names]
        events: list[NewEvent] = []
        texts: list[bytes] = []
        for rows in self._read_inserted({name: place for place, name in enumerate(names)}, tables):
            text = encode_rows(rows)
            if text is None or len(text) > PART_BYTES:
                return None
            texts.append(text)
            if sum(map(len, texts)) >= PART_BYTES:
                events.append(compact_event(ROWS_CHANGED, len(events) + 1, described, texts))
                texts = []
        if texts:
            events.append(compact_event(ROWS_CHANGED, len(events) + 1, described, texts))
        return events

    @abstractmethod
    def _has_many(self, least: int) -> bool:
        """Read the first captured rows; return True if there are at least that many."""

    @abstractmethod
    def _has_only_inserts(self) -> bool:
        """Return True if all captured rows are inserts."""

    @abstractmethod
    def _read_inserted(
        self, places: Mapping[str, int], tables: Mapping[str, TableT]
    ) -> Iterator[Sequence[Sequence[Any]]]:
        """Yield pages of inserted rows in order, each row after its table's place.

        Where the driver cannot give a value, a page holds bytes.
        """
