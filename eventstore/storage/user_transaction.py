"""A caller's own SQL and the append that records it, in one transaction of the log's database.

Such a caller has a connection of its own. Its transactions take their place among the log's as
any writer's do, and may append: as the last thing they do, so that nothing is decided before
the head is locked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from eventstore.errors import EventStoreError
from eventstore.log.events import Appended

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from typing import TypeAlias

    from eventstore.log.clock import Clock
    from eventstore.log.operations import Append, Batches, CommitBatch, Outcome
    from eventstore.storage._stream_cache import StreamCache
    from eventstore.storage.driver import Driver

    Translate: TypeAlias = Callable[[], AbstractContextManager[None]]
    AppendIn: TypeAlias = Callable[
        [Driver, Append, StreamCache], tuple[Appended, CommitBatch | None]
    ]
    Write: TypeAlias = Callable[[Driver, Append, StreamCache, int, Batches], list[Outcome]]


class UserTransaction(Protocol):
    """A connection on which a caller's statements and an append share transactions.

    Used by one thread at a time. Every method raises StorageError where the database fails.
    """

    raw: Any
    """The driver's connection, in autocommit mode, for the caller's own statements."""

    def reading(self) -> AbstractContextManager[Driver]:
        """Give what reads the log on this connection, within a transaction."""

    def translated(self) -> AbstractContextManager[None]:
        """Turn what the driver raises for statements of one's own into StorageError."""

    @property
    def active(self) -> bool:
        """Whether a transaction was begun here, and the database has not ended it."""

    def check(self) -> None:
        """Raise StorageError where the connection leads to another log than it did."""

    def begin(self) -> None:
        """Begin a transaction that may write."""

    def append(self, append: Append) -> tuple[Appended, CommitBatch | None]:
        """Append within the transaction; inline projections are applied as with any append."""

    def commit(self) -> None:
        """Commit, durably. Where that fails the transaction is rolled back."""

    def rollback(self) -> None:
        """Roll the transaction back; do nothing where there is none."""

    def close(self) -> None:
        """Roll back, and release the connection."""


class DriverTransaction:
    """What the transactions of both databases hold; each is a :class:`UserTransaction`."""

    def __init__(self, raw: Any, translate: Translate, append: AppendIn) -> None:
        self.raw = raw
        self.translated = translate
        self._append = append


def append_in(
    driver: Driver, append: Append, cache: StreamCache, *, write: Write, clock: Clock, batch: bool
) -> tuple[Appended, CommitBatch | None]:
    """Append in the transaction that ``driver`` is in; raise what the append conflicts with.

    ``cache`` is that of the connection, which its transactions use one after another.
    """
    batches: Batches = [] if batch else None
    (outcome,) = write(driver, append, cache, clock(), batches)
    if isinstance(outcome, EventStoreError):
        raise outcome
    if not isinstance(outcome, Appended):
        raise TypeError(f"an append gave {outcome!r}")
    return outcome, batches[-1] if batches else None
