"""What both SQL backends do alike for exports, imports, backups and trims."""

from __future__ import annotations

from abc import ABC
from typing import TYPE_CHECKING, ClassVar

from eventstore.errors import ConfigError
from eventstore.storage import _trimming, bulk, incarnation
from eventstore.storage.base import SqlBackend
from eventstore.storage.kept_views import check_kept

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence
    from pathlib import Path

    from eventstore.log.events import Cursor
    from eventstore.log.operations import ConsumerState, Head
    from eventstore.log.records import KeptRecord, Record, StreamRecord
    from eventstore.storage.driver import Driver


class MovableSqlBackend(SqlBackend, ABC):
    """A log in a database; :class:`eventstore.storage.protocols.Portable` says what is promised."""

    _advice: ClassVar[str] = "use 'eventstore export' and 'eventstore import'"

    def outline(self) -> tuple[Head, list[ConsumerState]]:
        """Return the head and all consumers as of one moment."""
        return self._read(bulk.read_outline)

    def streams(self, after: int, until: int, limit: int) -> list[tuple[int, StreamRecord]]:
        """Return streams by number, with their versions at a position."""
        return self._read(lambda driver: bulk.read_streams(driver, after, until, limit))

    def kept(self, after: int, limit: int) -> list[KeptRecord]:
        """Return the events that trimming has kept."""
        return self._read(lambda driver: bulk.read_kept(driver, after, limit))

    def load(self, records: Iterable[Record]) -> Head:
        """Fill an empty log in one durable transaction."""
        with self._writing:
            head = self._write(lambda driver: bulk.load(driver, records, self._where))
            self._prepare_inline()
            return head

    def backup(
        self,
        target: Path,  # noqa: ARG002
        progress: Callable[[int, int], None],  # noqa: ARG002
        *,
        replace: bool,  # noqa: ARG002
    ) -> int:
        """Refuse: the log is no file of its own."""
        raise ConfigError(f"{self._where} is no file to copy: {self._advice}")

    def restore(
        self,
        copy: Path,  # noqa: ARG002
        progress: Callable[[int, int], None],  # noqa: ARG002
        *,
        replace: bool,  # noqa: ARG002
    ) -> int:
        """Refuse: the log is no file of its own."""
        raise ConfigError(f"{self._where} is no file to restore: {self._advice}")

    def open_copy(self, copy: Path) -> MovableSqlBackend | None:  # noqa: ARG002
        """Refuse: the log is no file of its own."""
        raise ConfigError(f"{self._where} is no file to restore: {self._advice}")

    def cut(self, before: int | None, before_us: int | None) -> Cursor:
        """Return the end of the last commit that lies wholly before a position, or a time."""
        return self._read(lambda driver: _trimming.find_cut(driver, before, before_us))

    def check_held(self, last: int, served: Collection[str], forgone: Collection[str]) -> None:
        """Raise where a consumer or a view still needs an event up to ``last``."""
        brought_up = {view.name for view in self._inline} - self.skipped.keys()

        def check(driver: Driver) -> None:
            _trimming.check_held(driver, last, brought_up.union(served))
            check_kept(driver, last, served, forgone)

        self._read(check)

    def renew_incarnation(self) -> str:
        """Give this log a new incarnation, and return it."""

        def renew(driver: Driver) -> str:
            driver.lock_schema()
            driver.lock_appends()
            return incarnation.renew(driver)

        return self._write(renew)

    def now(self) -> int:
        """Return the time of the log's clock, in microseconds since the epoch."""
        return self._clock()

    def hashes(self, positions: Sequence[int]) -> list[tuple[int, bytes]]:
        """Return the chain's hash at events of the log or kept ones, by position."""
        return self._read(lambda driver: _trimming.read_hashes(driver, positions))
