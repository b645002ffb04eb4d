"""The writer of a store: group commit, which also stores checkpoints.

All operations that wait at the same time share one transaction and one fsync. One thread at a
time, the leader, carries them out. A thread that comes while none leads becomes the leader and
carries its own group out; one that comes later sleeps until the leader has done its operation, or
hands the lead over to it. What event loops submit is carried out by the writer's own thread,
unless a leader takes it along.

A group that fails as a whole is retried: one by one, so that each append succeeds or fails on its
own, or as a group where the connection was lost. The retry is safe even where the first try did
commit, because ids are checked first.
"""

from __future__ import annotations

import logging
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import (
    EventStoreError,
    LogReplacedError,
    StorageError,
    StoreClosedError,
    TakenOverError,
)
from eventstore.log.events import Appended
from eventstore.log.operations import Acknowledge
from eventstore.log.write_counts import WriteCounts
from eventstore.store._submission import (
    LaterSubmission,
    Note,
    Submission,
    ThreadSubmission,
    within_callers,
)
from eventstore.store._write_queue import WriteQueue
from eventstore.system.file_lock import LockCancelledError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future

    from eventstore.log.events import Cursor
    from eventstore.log.operations import CommitBatch, Operation, Outcome, Transact
    from eventstore.storage.protocols import Backend

log = logging.getLogger(__name__)

CLOSE_SECONDS: Final = 30.0
HURRIED_SECONDS: Final = 1.0
"""How long closing waits for what is queued, and how long in a cancelled task."""


class Writer:
    """Takes operations from any thread or task and carries them out in order."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._counts: WriteCounts | None = None
        self._batch: CommitBatch | None = None
        self._lock = threading.RLock()
        self._ready = threading.Condition(self._lock)
        self._queue = WriteQueue()
        self._leading = False
        self._closing = False
        self._group: Sequence[Submission] = ()
        self._give_up_at: float | None = None
        self._thread: threading.Thread | None = None

    def start(
        self,
        deliver: Callable[[Callable[[], Any]], None],
        on_commit: Callable[[int, CommitBatch | None], None],
        on_lost: Callable[[str, int, EventStoreError], None],
        wants_batch: Callable[[], bool],
    ) -> None:
        """Begin; ``deliver`` runs a callable in the event loop that awaits the outcomes.

        ``on_commit`` is called by the leader after each group that appended, once its callers
        have been told: with the position of the new head, and with what was appended where
        ``wants_batch()`` was true before. The append has succeeded whether it raises or not.
        ``on_lost`` is called by ``deliver`` with name and epoch of a consumer whose noted progress
        was refused for good, and the reason: TakenOverError or LogReplacedError.

        The results of a group are delivered together. Delivered one by one, the first callers
        would append again before the others have their results, and groups would be half as
        large.
        """
        self._deliver = deliver
        self._on_commit = on_commit
        self._on_lost = on_lost
        self._wants_batch = wants_batch
        self._backend.watch_waits(self._check_wanted)

    def count(self) -> WriteCounts:
        """Return the counts of appends, which begin with the first call."""
        if self._counts is None:
            self._counts = WriteCounts()
        return self._counts

    def perform(self, operation: Operation) -> Any:
        """Carry an operation out in the calling thread, or wait for the thread that does.

        Returns its outcome or raises its error. An exception that ends the thread, such as
        KeyboardInterrupt, leaves the outcome of its own operation unknown; the others of its group
        are carried out again by another leader.
        """
        mine = ThreadSubmission(operation)
        if self._counts is not None:
            mine.begun = time.perf_counter()
        group: list[Submission] | None = None
        with self._lock:
            self._check_open()
            self._queue.add(mine)
            if self._leading:
                mine.may_sleep()
            else:
                self._leading = mine.leads = True
                group = self._queue.take_group()
        try:
            if group is None:
                mine.wait()
            if mine.leads:
                self._lead(mine, group)
        except BaseException:
            self._leave(mine)
            raise
        return mine.result()

    def submit(self, operation: Operation) -> Submission:
        """Queue an operation of the event loop."""
        submission = Submission(operation)
        if self._counts is not None:
            submission.begun = time.perf_counter()
        with self._lock:
            self._check_open()
            self._queue.add(submission)
            self._call_thread()
        return submission

    def note(self, name: str, epoch: int, cursor: Cursor) -> None:
        """Remember a consumer's progress, to be stored with the next group or within 200 ms."""
        with self._lock:
            if self._queue.note(Acknowledge(name, epoch, cursor)):
                self._call_thread()

    def submit_later(self, operation: Transact) -> Future[Any]:
        """Queue an operation that can wait for the next group; it waits 200 ms at the most."""
        submission = LaterSubmission(operation)
        with self._lock:
            self._check_open()
            if self._queue.add_later(submission):
                self._call_thread()
        return submission.future

    def forget(self, name: str, epoch: int) -> None:
        """Drop the progress noted under this epoch, because a flush is about to store it."""
        with self._lock:
            self._queue.forget(name, epoch)

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Carry out what is queued, store what is noted, and end.

        After ``timeout`` seconds (another process holds the file, for example) the rest is
        not carried out: its callers get StoreClosedError.
        """
        with self._lock:
            self._closing = True
            self._give_up_at = time.monotonic() + timeout
            if self._leading or self._queue:
                self._call_thread()
            self._ready.notify_all()
            thread = self._thread
        if thread is not None:
            thread.join(timeout + HURRIED_SECONDS)
        with self._lock:
            left = self._queue.take_all()
        if left:
            self._fail(left, StoreClosedError("the store closed before this was written"))

    def _check_wanted(self) -> None:
        """End a wait for the turn to write for callers that have all gone, or while closing."""
        callers = [one for one in self._group if not isinstance(one, Note)]
        late = self._give_up_at is not None and time.monotonic() >= self._give_up_at
        if late or (callers and all(one.cancelled for one in callers)):
            raise LockCancelledError(self._backend.url)

    def _check_open(self) -> None:
        if self._closing:
            raise StoreClosedError("the store is closed: open it again to write")

    def _call_thread(self) -> None:
        """Wake the writer's own thread, or start it; called with the lock."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="eventstore-writer", daemon=True)
            self._thread.start()
        elif not self._leading:
            self._ready.notify()

    def _run(self) -> None:
        while True:
            with self._lock:
                while self._leading or not self._queue.is_due():
                    if self._closing and not self._leading:
                        if not self._queue:
                            return
                        break
                    self._ready.wait(None if self._leading else self._queue.remaining())
                self._leading = True
                group = self._queue.take_group()
            self._carry_out(group)
            self._hand_over()

    def _lead(self, mine: ThreadSubmission, group: list[Submission] | None) -> None:
        """Carry out groups, ``group`` first, until ``mine`` is settled; hand the lead over."""
        if group is not None:
            self._carry_out(group, mine)
        while not mine.settled:
            with self._lock:
                group = self._queue.take_group()
            self._carry_out(group, mine)
        self._hand_over()

    def _hand_over(self) -> None:
        """End the lead: pass it to the first thread that waits, or to the writer's own."""
        with self._lock:
            following = self._queue.first_thread()
            if following is not None:
                following.leads = True
                following.wake()
                return
            self._leading = False
            if self._queue.due_at is not None or self._closing or self._queue:
                self._call_thread()

    def _leave(self, mine: ThreadSubmission) -> None:
        """Withdraw the operation of a thread that was interrupted; pass on the lead if it has it.

        What it had begun to carry out for others is queued again.
        """
        with self._lock:
            mine.cancel()
            if not mine.leads:
                return
            self._queue.put_back(mine)
        self._hand_over()

    def _carry_out(
        self, group: Sequence[Submission], leader: ThreadSubmission | None = None
    ) -> None:
        if not group:
            return
        self._group = group
        try:
            with within_callers(group):
                outcomes, repeated = self._write([one.operation for one in group])
        except BaseException as error:
            if leader is not None and not isinstance(error, Exception):
                # It concerns the leader's thread: what the others wait for is another one's now.
                raise
            # An error of a driver or a projection, even SystemExit, is the callers': if it ended
            # this thread, every append would wait for ever.
            if len(group) > 1 and not _fails_all(error):
                for one in group:
                    self._carry_out([one], leader)
            else:
                self._fail(group, error, leader)
            return
        self._complete(group, outcomes, leader)
        self._announce(outcomes, repeated=repeated)

    def _write(self, operations: Sequence[Operation]) -> tuple[list[Outcome], bool]:
        """Write a group, twice where the connection was lost; return whether it was lost.

        The first try may have committed. The second one finds the ids that are stored then, and
        so the outcome, unless it times out before.
        """
        self._batch = None
        keep = self._set_batch if self._wants_batch() else None
        try:
            return self._backend.write(operations, keep), False
        except StorageError as error:
            if not error.transient:
                raise
            lost = error
        log.info("writing again after: %s", lost)
        try:
            return self._backend.write(operations, keep), True
        except StorageError as error:
            if not error.timed_out:
                raise
            reason = f"{lost.reason}; then, writing again: {error.reason}"
            raise StorageError(error.where, reason, transient=True) from error

    def _set_batch(self, batch: CommitBatch) -> None:
        self._batch = batch

    def _fail(
        self,
        group: Sequence[Submission],
        error: BaseException,
        leader: ThreadSubmission | None = None,
    ) -> None:
        for one in group:
            if isinstance(one, Note) and _fails_all(error):
                self._note_again(one.operation)
            one.fail(error)
        self._count(group, [error] * len(group))
        self._tell(group, leader)

    def _complete(
        self,
        group: Sequence[Submission],
        outcomes: Sequence[Outcome],
        leader: ThreadSubmission | None,
    ) -> None:
        for one, outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, EventStoreError):
                one.fail(outcome)
            else:
                one.complete(outcome)
        self._count(group, outcomes)
        self._tell(group, leader)

    def _count(self, group: Sequence[Submission], outcomes: Sequence[object]) -> None:
        if self._counts is not None:
            self._counts.add(group, outcomes)

    def _tell(self, group: Sequence[Submission], leader: ThreadSubmission | None) -> None:
        """Tell callers that their operations are settled: threads at once, others together."""
        others: list[Submission] = []
        for one in group:
            if one is leader:
                continue
            if isinstance(one, ThreadSubmission):
                one.wake()
            else:
                others.append(one)
        if others:
            self._deliver(partial(self._tell_others, others))

    def _tell_others(self, group: Sequence[Submission]) -> None:
        for one in group:
            if isinstance(one, Note):
                self._report_lost(one)
            else:
                one.tell()

    def _report_lost(self, note: Note) -> None:
        operation = note.operation
        assert isinstance(operation, Acknowledge)  # noqa: S101 - only these are noted
        try:
            note.result()
        except (TakenOverError, LogReplacedError) as error:
            self._on_lost(operation.name, operation.epoch, error)
        except BaseException:  # noqa: S110 - noted again where that may help
            pass

    def _note_again(self, operation: Operation) -> None:
        """Keep a consumer's progress for a retry: no later event may come to store it."""
        assert isinstance(operation, Acknowledge)  # noqa: S101 - only these come from notes
        with self._lock:
            if not self._closing:
                self._queue.note_again(operation)

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


def _fails_all(error: BaseException) -> bool:
    """Whether each operation of the group would fail alone too: the database was unreachable."""
    return isinstance(error, StorageError) and (error.transient or error.timed_out)
