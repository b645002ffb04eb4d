"""A fold as one of the views of a runner, beside tables and directories."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import anyio
import anyio.from_thread

from eventstore.errors import (
    ConfigError,
    EventStoreError,
    HistoryDivergedError,
    NotAppliedError,
    ProjectionError,
)
from eventstore.log.redaction import read_redaction
from eventstore.log.validation import check_seconds
from projections.folds import SNAPSHOT_EVERY
from projections.protocol import OutdatedViewError
from projections.tables.snapshots import Snapshot, Snapshots

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore import Cursor, Event, EventStore
    from projections.folds import Fold

log = logging.getLogger(__name__)

S = TypeVar("S")

POLL_SECONDS: Final = 0.02
"""Time between two looks of those who wait for an event."""

PART_EVENTS: Final = 500
"""Events after which the event loop does something else, once their commit has ended."""


class FoldView(Generic[S]):
    """A fold that a :class:`projections.ProjectionRunner` keeps: ``state``, as of ``cursor``.

    It is a :class:`projections.protocol.Projection`. The handlers run in the event loop of the
    store, and there a reader sees whole commits. In a rebuild the state is computed beside the one
    that readers see. The runner begins with the snapshot beside the log, and a snapshot is stored
    after each ``snapshot_every`` events and when the runner ends. Where that fails, the program's
    log says so. An event that cannot be applied ends the view's run, and leaves the initial state;
    the next run begins with the snapshot.
    """

    place = "memory"

    def __init__(
        self, store: EventStore, fold: Fold[S], *, snapshot_every: int = SNAPSHOT_EVERY
    ) -> None:
        if type(snapshot_every) is not int or snapshot_every < 1:
            raise ConfigError(f"snapshot_every={snapshot_every!r:.40}: give a number of events")
        fold.types()  # Raises where the fold has no handler.
        self.name = fold.name
        self.outdated = False
        self.state = fold.initial()
        self.cursor: Cursor | None = None
        self._store = store
        self._fold = fold
        self._every = snapshot_every
        self._snapshots = Snapshots(store, fold.name, fold.version)
        self._clean = 0  # What was redacted before this position was read without its content.
        self._since = 0
        self._built: tuple[S, Cursor | None] | None = None
        self._failure: ProjectionError | None = None

    async def at_least(self, cursor: Cursor, *, timeout: float = 30.0) -> None:
        """Return once the state is as of ``cursor`` or a later one, for reading one's own writes.

        Raises ProjectionError where the runner has met an event up to it that cannot be applied,
        NotAppliedError, a TimeoutError, after so many seconds, and HistoryDivergedError for a
        cursor of another log.
        """
        deadline = anyio.current_time() + check_seconds("timeout", timeout, zero=True)
        while True:
            at = -1 if self.cursor is None else self.cursor.position
            if self.cursor is not None and self.cursor.log_id != cursor.log_id:
                reason = f"{self.name!r} was computed from another log"
                raise HistoryDivergedError(cursor.position, at, reason)
            if at >= cursor.position:
                return
            if self._failure is not None and self._failure.position <= cursor.position:
                raise self._failure
            if (left := deadline - anyio.current_time()) <= 0:
                behind = {f"view {self.name}": None if at < 0 else at}
                raise NotAppliedError(cursor.position, behind, timeout)
            await anyio.sleep(min(POLL_SECONDS, left))

    def open(self, log_id: str) -> Cursor | None:
        """Begin with the state that is there, or with the snapshot."""
        if self.cursor is not None and self.cursor.log_id == log_id:
            return self.cursor
        found = self._store.in_threads.query(self._snapshots.finding())
        if found is not None and found.cursor.log_id == log_id:
            try:
                self.state, self.cursor = self._fold.decode(found.state), found.cursor
            except ValueError as error:
                log.warning("the snapshot of %s is not used: %s", self.name, error)
            else:
                self._clean = self._since = 0
                return self.cursor
        self._reset()
        self._clean = self._head()
        return None

    def apply(self, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply whole commits."""
        if self._built is None:
            self._check_redactions(events)
        try:
            for part in _parts(events):
                anyio.from_thread.run_sync(self._apply, part)
            anyio.from_thread.run_sync(self._move, cursor)
        except BaseException as error:
            if isinstance(error, ProjectionError):
                self._failure = error
            # Handlers may have changed the state: it is no longer as of the cursor.
            self._reset()
            raise
        self._failure = None
        self._since += len(events)
        if self._built is None and self._since >= self._every:
            self._save()

    def _check_redactions(self, events: Sequence[Event]) -> None:
        erased = [one for one in events if read_redaction(one) is not None]
        late = [one.position for one in erased if one.position > self._clean]
        if self.outdated or late:
            self.outdated = True
            self._store.in_threads.transact(self._snapshots.dropping())
            raise OutdatedViewError(self.name, late[0] if late else self._clean)

    def _apply(self, events: Sequence[Event]) -> None:
        state, cursor = self._built or (self.state, self.cursor)
        for event in events:
            if read_redaction(event) is None:
                state = self._fold.after(state, event)
            elif event.position > self._clean:
                self.outdated = True  # Erased while the state was computed: once more.
        self._set(state, cursor)

    def _move(self, cursor: Cursor) -> None:
        self._set((self._built or (self.state,))[0], cursor)

    def _set(self, state: S, cursor: Cursor | None) -> None:
        if self._built is None:
            self.state, self.cursor = state, cursor
        else:
            self._built = state, cursor

    def _reset(self) -> None:
        self.state, self.cursor = self._fold.initial(), None
        self._built, self._since = None, 0

    def begin_rebuild(self) -> None:
        """Begin anew, beside the state that readers see."""
        self._built, self._since, self.outdated = (self._fold.initial(), None), 0, False
        self._clean = self._head()

    def finish_rebuild(self) -> None:
        """Let readers see what was computed."""

        def swap() -> None:
            if self._built is not None:
                (self.state, self.cursor), self._built = self._built, None

        anyio.from_thread.run_sync(swap)
        self._save()

    def close(self) -> None:
        """Store a snapshot, where something was applied since the last one."""
        self._built = None
        if self._since and not self.outdated:
            self._save()

    def _save(self) -> None:
        if self.cursor is None:
            return
        try:
            stored = Snapshot(self.cursor, 0, self._fold.encode(self.state))
            self._store.in_threads.transact(self._snapshots.saving(stored))
        except EventStoreError as error:
            log.warning("no snapshot of %s is stored: %s", self.name, error)
        self._since = 0

    def _head(self) -> int:
        return self._store.in_threads.head().position


def _parts(events: Sequence[Event]) -> Iterator[list[Any]]:
    """Cut events where commits end, once there are enough of them."""
    part: list[Any] = []
    for event in events:
        if len(part) >= PART_EVENTS and event.commit != part[-1].commit:
            yield part
            part = []
        part.append(event)
    if part:
        yield part
