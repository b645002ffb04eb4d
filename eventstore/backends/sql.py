"""What the SQL backends have in common: everything but how they connect and lock."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, TypeVar

from eventstore.backends import migrations, reading, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from eventstore.backends.driver import Driver
    from eventstore.ports import (
        Clock,
        ConsumerState,
        Head,
        InlineProjection,
        LockHolder,
        NamedLock,
        Operation,
        Outcome,
        Page,
        Query,
    )

T = TypeVar("T")


class SqlBackend(ABC):
    """A log in a database; see :class:`eventstore.ports.Backend` for what is promised."""

    dialect: ClassVar[str]
    url: str
    path: Path | None

    def __init__(self, clock: Clock, inline: Sequence[InlineProjection]) -> None:
        self._clock = clock
        self._inline = tuple(inline)

    @abstractmethod
    def open(self) -> None:
        """Connect, and call :meth:`_prepare`."""

    @abstractmethod
    def close(self) -> None:
        """Release every connection."""

    @abstractmethod
    def describe(self) -> dict[str, str | int]:
        """Return facts for ``status``."""

    @property
    @abstractmethod
    def _where(self) -> str:
        """Name the database in messages, without a password."""

    @abstractmethod
    def _write(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes: commit, or leave nothing."""

    @abstractmethod
    def _snapshot(self) -> AbstractContextManager[Driver]:
        """Give a transaction in which everything that is read belongs together."""

    def _read(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a snapshot."""
        with self._snapshot() as driver:
            return function(driver)

    def head(self) -> Head:
        """Return the committed head."""
        return self._read(reading.read_head)

    def page(self, query: Query) -> Page:
        """Read one page from one snapshot."""
        return self._read(lambda driver: reading.read_page(driver, query))

    def consumers(self) -> list[ConsumerState]:
        """Return every named consumer, by name."""
        return self._read(reading.read_consumers)

    def write(self, group: Sequence[Operation]) -> list[Outcome]:
        """Carry out a group in one durable transaction."""
        return self._write(
            lambda driver: writing.write_group(driver, group, self._inline, self._clock())
        )

    def named_lock(self, name: str) -> NamedLock | None:  # noqa: ARG002
        """Return ``None``: who shares the log shares its host, and files to lock."""
        return None

    def named_locks(self) -> list[LockHolder]:
        """Return none."""
        return []

    def _prepare(self) -> None:
        """Bring the schema, then the inline views, up to date."""
        while self._write(self._migrate):
            pass
        if self._inline:
            self._write(self._set_up_views)

    def _migrate(self, driver: Driver) -> bool:
        driver.lock_schema()
        return migrations.apply_next(driver, self.dialect, self._where, self._clock())

    def _set_up_views(self, driver: Driver) -> None:
        driver.lock_schema()
        head = reading.read_head(driver, lock=True)
        for projection in self._inline:
            projection.setup(driver.connection)
            writing.catch_up_inline(driver, projection, head)
