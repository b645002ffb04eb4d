"""The one writing thread of a store: group commit, which also stores checkpoints.

All operations that wait at the same time share one transaction and one fsync. A group that
fails as a whole is retried: one by one, so that each append succeeds or fails on its own, or as
a group where the connection was lost. The retry is safe even where the first try did commit,
because ids are checked first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.errors import EventStoreError, StorageError, StoreClosedError, TakenOverError
from eventstore.log.events import Appended
from eventstore.log.operations import Acknowledge, Append, Trim

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.log.events import Cursor
    from eventstore.log.operations import CommitBatch, Operation, Outcome, Transact
    from eventstore.storage.protocols import Backend

log = logging.getLogger(__name__)

GROUP_EVENTS: Final = 2_000
GROUP_BYTES: Final = 8 * 1024 * 1024
"""Limits of a group, so that other processes get their turn; a larger append is a group alone."""

ACK_SECONDS: Final = 0.2
ACK_EVENTS: Final = 1_000
"""A consumer's checkpoint is stored this long, or this many events, after its cursor moved."""

RETRY_SECONDS: Final = 1.0
"""When a checkpoint is retried after a lost connection or a timeout of the database."""


class _Queued(NamedTuple):
    """An operation, and the future of its outcome; ``None`` for a checkpoint that was noted."""

    operation: Operation
    future: Future[Any] | None


@dataclass(slots=True)
class _Note:
    acknowledge: Acknowledge
    events: int


class Writer:
    """Takes operations from any thread or task and carries them out in order.

    With ``batches`` it collects the events of each group for the notifier.
    """

    def __init__(self, backend: Backend, *, batches: bool) -> None:
        self._backend = backend
        self._keep_batch = self._set_batch if batches else None
        self._batch: CommitBatch | None = None
        self._ready = threading.Condition()
        self._queue: deque[_Queued] = deque()
        self._notes: dict[str, _Note] = {}
        self._later: list[_Queued] = []
        self._flush_at: float | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="eventstore-writer", daemon=True)

    def start(
        self,
        deliver: Callable[[Callable[[], Any]], None],
        on_commit: Callable[[int, CommitBatch | None], None],
        on_lost: Callable[[str, int, str], None],
    ) -> None:
        """Start the thread; ``deliver`` runs a callable in the event loop that awaits the futures.

        ``on_commit`` is called from the thread after each group that appended, with the position
        of the new head and what was appended, where that is collected. The append has succeeded
        whether it raises or not. ``on_lost`` is called in the event loop with name, epoch and new
        owner of a consumer whose noted progress was refused because its name was taken over.

        The results of a group are delivered together. Delivered one by one, the first callers
        would append again before the others have their results, and groups would be half as
        large.
        """
        self._deliver = deliver
        self._on_commit = on_commit
        self._on_lost = on_lost
        self._thread.start()

    def submit(self, operation: Operation) -> Future[Any]:
        """Queue an operation; the future gives its outcome or raises its error."""
        future: Future[Any] = Future()
        with self._ready:
            if self._closing:
                raise StoreClosedError("the store is closed: open it again to write")
            self._queue.append(_Queued(operation, future))
            self._ready.notify()
        return future

    def note(self, name: str, epoch: int, cursor: Cursor) -> None:
        """Remember a consumer's progress, to be stored with the next group or within 200 ms."""
        with self._ready:
            note = self._notes.get(name)
            if note is not None and note.acknowledge.epoch > epoch:
                return
            events = note.events + 1 if note else 1
            self._notes[name] = _Note(Acknowledge(name, epoch, cursor), events)
            if self._flush_at is None:
                self._flush_at = time.monotonic() + ACK_SECONDS
                self._ready.notify()
            elif events >= ACK_EVENTS:
                self._flush_at = 0.0
                self._ready.notify()

    def submit_later(self, operation: Transact) -> Future[Any]:
        """Queue an operation that can wait for the next group; it waits 200 ms at the most."""
        future: Future[Any] = Future()
        with self._ready:
            if self._closing:
                raise StoreClosedError("the store is closed: open it again to write")
            self._later.append(_Queued(operation, future))
            if self._flush_at is None:
                self._flush_at = time.monotonic() + ACK_SECONDS
                self._ready.notify()
        return future

    def forget(self, name: str, epoch: int) -> None:
        """Drop the progress noted under this epoch, because a flush is about to store it."""
        with self._ready:
            note = self._notes.get(name)
            if note is not None and note.acknowledge.epoch == epoch:
                del self._notes[name]

    def close(self, timeout: float = 30.0) -> None:
        """Carry out what is queued, store what is noted, and end the thread.

        After ``timeout`` seconds (another process holds the file, for example) the rest is
        not carried out: the futures raise StoreClosedError.
        """
        with self._ready:
            self._closing = True
            self._ready.notify()
        self._thread.join(timeout)
        with self._ready:
            left, self._queue = [*self._queue, *self._later], deque()
        for _, future in left:
            if future is not None and future.set_running_or_notify_cancel():
                future.set_exception(StoreClosedError("the store closed before this was written"))

    def _run(self) -> None:
        while (group := self._next_group()) is not None:
            if group:
                self._carry_out(group)

    def _next_group(self) -> list[_Queued] | None:
        with self._ready:
            while not self._queue and not self._closing:
                now = time.monotonic()
                if self._flush_at is not None and now >= self._flush_at:
                    break
                self._ready.wait(None if self._flush_at is None else self._flush_at - now)
            group = self._take_queued()
            for note in self._notes.values():
                group.append(_Queued(note.acknowledge, None))
            self._notes.clear()
            group += [one for one in self._later if _begins(one)]
            self._later.clear()
            self._flush_at = None
            return None if self._closing and not group else group

    def _take_queued(self) -> list[_Queued]:
        group: list[_Queued] = []
        events = size = 0
        while self._queue:
            one = self._queue[0]
            operation = one.operation
            if isinstance(operation, Trim) and group:
                break  # It would remove events that operations before it have read.
            if isinstance(operation, Append):
                events += operation.events
                size += operation.size
                if group and (events > GROUP_EVENTS or size > GROUP_BYTES):
                    break
            self._queue.popleft()
            if _begins(one):
                group.append(one)
            if isinstance(operation, Trim):
                break
        return group

    def _carry_out(self, group: Sequence[_Queued]) -> None:
        try:
            outcomes, repeated = self._write([one.operation for one in group])
        except BaseException as error:
            # An error of a driver or a projection, even SystemExit, is the callers': if it ended
            # this thread, every append would wait for ever.
            if len(group) > 1 and not _fails_all(error):
                for one in group:
                    self._carry_out([one])
            else:
                self._fail(group, error)
            return
        self._announce(outcomes, repeated=repeated)
        self._deliver(partial(self._complete, group, outcomes))

    def _write(self, operations: Sequence[Operation]) -> tuple[list[Outcome], bool]:
        """Write a group, twice where the connection was lost; return whether it was lost.

        The first try may have committed. The second one finds the ids that are stored then, and
        so the outcome, unless it times out before.
        """
        try:
            self._batch = None
            return self._backend.write(operations, self._keep_batch), False
        except StorageError as error:
            if not error.transient:
                raise
            lost = error
        log.info("writing again after: %s", lost)
        try:
            return self._backend.write(operations, self._keep_batch), True
        except StorageError as error:
            if not error.timed_out:
                raise
            reason = f"{lost.reason}; then, writing again: {error.reason}"
            raise StorageError(error.where, reason, transient=True) from error

    def _set_batch(self, batch: CommitBatch) -> None:
        self._batch = batch

    def _fail(self, group: Sequence[_Queued], error: BaseException) -> None:
        for one in group:
            if one.future is None and _fails_all(error):
                self._note_again(one.operation)
        self._deliver(partial(_refuse, group, error))

    def _complete(self, group: Sequence[_Queued], outcomes: Sequence[Outcome]) -> None:
        for (operation, future), outcome in zip(group, outcomes, strict=True):
            if future is None:
                if isinstance(operation, Acknowledge) and isinstance(outcome, TakenOverError):
                    self._on_lost(operation.name, operation.epoch, outcome.owner)
            elif isinstance(outcome, EventStoreError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _note_again(self, operation: Operation) -> None:
        """Keep a consumer's progress for a retry: no later event may come to store it."""
        assert isinstance(operation, Acknowledge)  # noqa: S101 - only these come from notes
        with self._ready:
            if operation.name not in self._notes and not self._closing:
                self._notes[operation.name] = _Note(operation, 1)
                self._flush_at = self._flush_at or time.monotonic() + RETRY_SECONDS

    def _announce(self, outcomes: Sequence[Outcome], *, repeated: bool) -> None:
        positions = [
            outcome.position
            for outcome in outcomes
            if isinstance(outcome, Appended) and (repeated or not outcome.duplicate)
        ]
        if positions:
            try:
                self._on_commit(max(positions), self._batch)
            except Exception:
                # The append is durable: a lost wake-up does not fail it.
                log.exception("waking subscriptions failed; they poll instead")


def _begins(one: _Queued) -> bool:
    """Whether to carry an operation out: True unless its caller has cancelled."""
    return one.future is None or one.future.set_running_or_notify_cancel()


def _fails_all(error: BaseException) -> bool:
    """Whether each operation of the group would fail alone too: the database was unreachable."""
    return isinstance(error, StorageError) and (error.transient or error.timed_out)


def _refuse(group: Sequence[_Queued], error: BaseException) -> None:
    for one in group:
        if one.future is not None:
            one.future.set_exception(error)
