"""Folds and aggregates for programs without an event loop, on :class:`eventstore.sync.EventStore`.

The names, arguments, results and errors are those of :mod:`projections`; each call blocks its
thread until it is done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from projections import aggregates, folds
from projections.aggregates import ATTEMPTS
from projections.folds import SNAPSHOT_EVERY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from eventstore import Appended, Cursor
    from eventstore.sync import EventStore
    from projections.aggregates import Aggregate
    from projections.folds import Fold

__all__ = ["Aggregates", "FoldRunner"]

S = TypeVar("S")


class FoldRunner(Generic[S]):
    """The state of one fold over a log; see :class:`projections.FoldRunner`.

    One FoldRunner is for one thread at a time.
    """

    def __init__(self, store: EventStore, fold: Fold[S]) -> None:
        self._run = store._waiting.run  # noqa: SLF001 - what runs coroutines in the calling thread
        self._shared = folds.FoldRunner(store._shared, fold)  # noqa: SLF001 - the same store

    @property
    def state(self) -> S:
        """The state, as of :attr:`cursor`."""
        return self._shared.state

    @property
    def cursor(self) -> Cursor | None:
        """How far the log was read; ``None`` at first."""
        return self._shared.cursor

    def catch_up(self) -> S:
        """Bring the state to the head of the log, and return it."""
        return self._run(self._shared.catch_up())

    def run(self, *, snapshot_every: int = SNAPSHOT_EVERY) -> None:
        """Follow the log until the store is closed, which raises StoreClosedError."""
        self._run(self._shared.run(snapshot_every=snapshot_every))

    def save(self) -> None:
        """Store a snapshot of the present state beside the log."""
        self._run(self._shared.save())

    def verify(self) -> bool:
        """Tell whether the state is the one that is computed from the first event on."""
        return self._run(self._shared.verify())


class Aggregates(Generic[S]):
    """The streams of one category, each as a state; see :class:`projections.Aggregates`.

    Any number of threads may use one of these.
    """

    def __init__(
        self, store: EventStore, fold: Fold[S], category: str, *, snapshot_every: int | None = None
    ) -> None:
        self._run = store._waiting.run  # noqa: SLF001 - what runs coroutines in the calling thread
        shared = store._shared  # noqa: SLF001 - the same store
        self._shared = aggregates.Aggregates(shared, fold, category, snapshot_every=snapshot_every)

    def load(self, key: str) -> Aggregate[S]:
        """Return the state of a stream, by its key within the category."""
        return self._run(self._shared.load(key))

    def execute(
        self, key: str, decide: Callable[[S], Iterable[Any]], *, attempts: int = ATTEMPTS
    ) -> Appended | None:
        """Append the events that ``decide`` returns for the state; ``None`` where it has none."""
        return self._run(self._shared.execute(key, decide, attempts=attempts))
