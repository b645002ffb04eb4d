"""What both SQL backends read of the log's tables, each in one snapshot."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from eventstore.storage import _integrity_reads, pages, reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager

    from eventstore.log import operations as ops
    from eventstore.storage.driver import Driver

T = TypeVar("T")


class LogReads(ABC):
    """What :class:`eventstore.storage.protocols.Backend` promises of reads."""

    dialect: ClassVar[str]

    @abstractmethod
    def _snapshot(self) -> AbstractContextManager[Driver]:
        """Give a transaction in which everything that is read belongs together."""

    def _read(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a snapshot."""
        with self._snapshot() as driver:
            return function(driver)

    def head(self) -> ops.Head:
        """Return the committed head."""
        return self._read(reading.read_head)

    def page(self, query: ops.Query) -> ops.Page:
        """Read one page from one snapshot."""
        return self._read(lambda driver: pages.read_page(driver, query))

    def consumers(self, names: Sequence[str] | None = None) -> list[ops.ConsumerState]:
        """Return named consumers, by name: all of them, or those of ``names``."""
        return self._read(lambda driver: reading.read_consumers(driver, names))

    def slowest_consumers(self, limit: int, among: int | None) -> ops.SlowConsumers:
        """Return those that are furthest behind, of all or of the first ``among`` by name."""
        return self._read(lambda driver: reading.read_slowest(driver, limit, among))

    def stream_states(self, prefix: str, after: str, limit: int) -> list[ops.StreamState]:
        """Return the streams whose names begin with ``prefix`` and follow ``after``, by name."""
        return self._read(lambda driver: reading.read_streams(driver, prefix, after, limit))

    def stored(self, after: int, limit: int) -> list[ops.StoredEvent]:
        """Return the rows that follow ``after``, as they are."""
        return self._read(lambda driver: reading.read_stored(driver, after, limit))

    def integrity_page(
        self, after: int, limit: int, *, side_tables: bool = True
    ) -> ops.IntegrityPage:
        """Return the rows that follow ``after``, with the side tables once no more follow."""
        return self._read(
            lambda driver: _integrity_reads.read_integrity_page(
                driver, after, limit, side_tables=side_tables
            )
        )

    def kept_rows(self, after: int, limit: int) -> list[tuple[ops.StoredEvent, bytes]]:
        """Return rows that are kept of a trimmed prefix, each with the hash before it."""
        return self._read(lambda driver: _integrity_reads.read_kept(driver, after, limit))

    def faults(self) -> list[tuple[str, str]]:
        """Return (where, what) of faults in the database itself."""
        return self._read(lambda driver: _integrity_reads.find_faults(driver, self.dialect))

    def read(self, function: Callable[[Driver], T]) -> T:
        """Return what ``function`` reads in a snapshot, by statements of the driver."""
        return self._read(function)
