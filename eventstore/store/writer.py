"""The one thread of a store that writes: group commit, and acknowledgements on the side.

Everything that waits at the same time shares one transaction and one fsync. A group that
fails as a whole is tried again one by one, so that each append succeeds or fails on its
own, or as it was where the connection was lost; that is safe even where the first try did
commit, because ids are checked first.
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
"""Where a group ends, so that other processes get their turn; one larger append goes alone."""

ACK_SECONDS: Final = 0.2
ACK_EVENTS: Final = 1_000
"""A consumer's cursor is stored this long, or this many events, after it moved."""


RETRY_SECONDS: Final = 1.0
"""An acknowledgement that met a lost connection, or a limit on time, is tried again after this."""


class _Queued(NamedTuple):
    """An operation, and who waits for its outcome: nobody where it was only noted."""

    operation: Operation
    future: Future[Any] | None


@dataclass(slots=True)
class _Note:
    acknowledge: Acknowledge
    events: int


class Writer:
    """Takes operations from any thread or task and carries them out in order.

    ``on_commit`` is called with the new head position after each group that appended, and
    with what it appended where that is known, from the writer's thread; whatever it raises
    is not the append's concern, so it must not raise.
    """

    def __init__(
        self, backend: Backend, on_commit: Callable[[int, CommitBatch | None], None], *, batch: bool
    ) -> None:
        self._backend = backend
        self._tell = self._hear if batch else None
        self._news: CommitBatch | None = None
        self._on_commit = on_commit
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
        lost: Callable[[str, int, str], None],
    ) -> None:
        """Start the thread; ``deliver`` runs a callable where the futures are awaited.

        ``lost`` is called there with name, epoch and new owner of a consumer whose noted
        progress could not be stored because its name was taken over.

        A group's results are delivered together: woken one by one, the first callers would
        be back with new appends before the rest have been told, and groups would be half
        as large.
        """
        self._deliver = deliver
        self._lost = lost
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
        """Remember a consumer's progress, to be stored with the next group or soon after."""
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
        """Queue what can wait: it goes with the next group, or within the same 200 ms."""
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
        """Drop what this owner noted, because its flush is about to store it."""
        with self._ready:
            note = self._notes.get(name)
            if note is not None and note.acknowledge.epoch == epoch:
                del self._notes[name]

    def close(self, timeout: float = 30.0) -> None:
        """Carry out what is queued, store what is noted, and end the thread.

        After ``timeout`` seconds (another process holds the file, say) the rest is left:
        the futures raise StoreClosedError.
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
                break  # What others have read in this transaction would be gone.
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
            # Whatever a driver or a view raises, SystemExit too, belongs to the callers: this
            # thread's end would leave every append waiting for ever.
            if len(group) > 1 and not _is_shared(error):
                for one in group:
                    self._carry_out([one])
            else:
                self._fail(group, error)
            return
        self._announce(outcomes, repeated=repeated)
        self._deliver(partial(self._complete, group, outcomes))

    def _write(self, operations: Sequence[Operation]) -> tuple[list[Outcome], bool]:
        """Write a group, once more where the connection was lost; return whether it was.

        The first try may have committed. The second one settles it, because it finds the
        ids that are stored; unless it never came to look for them.
        """
        try:
            self._news = None
            return self._backend.write(operations, self._tell), False
        except StorageError as error:
            if not error.transient:
                raise
            lost = error
        log.info("writing again after: %s", lost)
        try:
            return self._backend.write(operations, self._tell), True
        except StorageError as error:
            if not error.timed_out:
                raise
            reason = f"{lost.reason}; then, writing again: {error.reason}"
            raise StorageError(error.where, reason, transient=True) from error

    def _hear(self, batch: CommitBatch) -> None:
        self._news = batch

    def _fail(self, group: Sequence[_Queued], error: BaseException) -> None:
        for one in group:
            if one.future is None and _is_shared(error):
                self._note_again(one.operation)
        self._deliver(partial(_refuse, group, error))

    def _complete(self, group: Sequence[_Queued], outcomes: Sequence[Outcome]) -> None:
        for (operation, future), outcome in zip(group, outcomes, strict=True):
            if future is None:
                if isinstance(operation, Acknowledge) and isinstance(outcome, TakenOverError):
                    self._lost(operation.name, operation.epoch, outcome.owner)
            elif isinstance(outcome, EventStoreError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)

    def _note_again(self, operation: Operation) -> None:
        """Keep a consumer's progress for later: the last event may have been its last."""
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
                self._on_commit(max(positions), self._news)
            except Exception:
                # Written first, notified afterwards: a lost hint is no failed append.
                log.exception("notifying followers failed; they read on a timer instead")


def _begins(one: _Queued) -> bool:
    """Whether somebody still waits for it, or nobody ever did."""
    return one.future is None or one.future.set_running_or_notify_cancel()


def _is_shared(error: BaseException) -> bool:
    """Whether it befell the group, not one of its operations: each alone would fare the same."""
    return isinstance(error, StorageError) and (error.transient or error.timed_out)


def _refuse(group: Sequence[_Queued], error: BaseException) -> None:
    for one in group:
        if one.future is not None:
            one.future.set_exception(error)
