"""Capturing row changes: triggers that write them into the capture table."""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import closing
from typing import TYPE_CHECKING, Any, Generic

from projections.sql._compact import (
    MANY_ROWS,
    CompactTable,
    compact_event,
    compact_table,
    encode_rows,
)
from projections.sql._rows_once import RowsOnce
from projections.sql.events import PART_BYTES, ROWS_CHANGED, rows_events
from projections.sql.model import TableT

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from eventstore import NewEvent
    from projections.sql.model import Change, Op


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
        events = self._compact_events(tables) if self._has_many(MANY_ROWS) else None
        if events is None:
            events = rows_events(self.read_changes(tables))
        self.clear()
        return events

    def _compact_events(self, tables: Mapping[str, TableT]) -> list[NewEvent] | None:
        """Return the events of many rows; ``None`` where they have to be written one by one."""
        described = [compact_table(tables[name].table, op) for name, op in self._read_kinds()]
        once = RowsOnce(described)
        events: list[NewEvent] = []
        texts: list[bytes] = []
        with closing(self._read_rows(described, tables)) as pages:
            for page in pages:
                rows = None if page is None else once.take(page)
                text = None if rows is None else encode_rows(rows)
                if text is None or len(text) > PART_BYTES:
                    return None
                texts += [text] if text else []
                if sum(map(len, texts)) >= PART_BYTES:
                    events.append(compact_event(ROWS_CHANGED, len(events) + 1, described, texts))
                    texts = []
        if not once.all_once():
            return None
        if texts:
            events.append(compact_event(ROWS_CHANGED, len(events) + 1, described, texts))
        return events

    @abstractmethod
    def _has_many(self, least: int) -> bool:
        """Read the first captured rows; return True if there are at least that many."""

    @abstractmethod
    def _read_kinds(self) -> Sequence[tuple[str, Op]]:
        """Return the table, and what was done, of the captured rows, each pair once."""

    @abstractmethod
    def _read_rows(
        self, kinds: Sequence[CompactTable], tables: Mapping[str, TableT]
    ) -> Generator[Sequence[Sequence[Any]] | None, None, None]:
        """Yield pages of captured rows in order, each row after its place in ``kinds``.

        ``None`` stands for what has to be written one by one.
        """
