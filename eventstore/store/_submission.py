"""What waits in the writer's queue: an operation, and who is told its outcome."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from eventstore.system.pending import Pending
from eventstore.system.traces import API, NO_SPAN, current_span, find_spans, loaded

if TYPE_CHECKING:
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from eventstore.log.operations import Operation


class Submission(Pending[Any]):
    """An operation of a task; its caller is told in the event loop."""

    __slots__ = ("begun", "operation", "span")

    def __init__(self, operation: Operation) -> None:
        super().__init__()
        self.operation = operation
        self.begun = 0.0
        """When it was called, by ``perf_counter``, where the writer counts."""
        self.span = current_span() if API in loaded else None
        """The span of its caller, where one is recorded."""

    def begins(self) -> bool:
        """Whether to carry it out: True unless its caller has cancelled."""
        return not self.cancelled


class ThreadSubmission(Submission):
    """An operation of a thread that sleeps until it is settled, or made the leader."""

    __slots__ = ("_lock", "leads")

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.leads = False
        """Whether its thread is to carry out the next group."""
        self._lock: threading.Lock | None = None

    def may_sleep(self) -> None:
        """Prepare for :meth:`wait`; called before another thread can call :meth:`wake`."""
        self._lock = threading.Lock()
        self._lock.acquire()

    def wait(self) -> None:
        """Sleep until :meth:`wake`."""
        assert self._lock is not None  # noqa: S101 - may_sleep comes first
        self._lock.acquire()

    def wake(self) -> None:
        """End the sleep, if there is one; from any thread."""
        if self._lock is not None:
            with suppress(RuntimeError):  # It was woken before, and is not asleep again.
                self._lock.release()


class LaterSubmission(Submission):
    """An operation whose outcome is told by a future of the standard library."""

    __slots__ = ("future",)

    def __init__(self, operation: Operation) -> None:
        super().__init__(operation)
        self.future: Future[Any] = Future()

    def begins(self) -> bool:
        """Whether to carry it out: True unless its future was cancelled."""
        return self.future.running() or self.future.set_running_or_notify_cancel()

    def tell(self) -> None:
        """Complete the future."""
        try:
            self.future.set_result(self.result())
        except BaseException as error:
            self.future.set_exception(error)


class Note(Submission):
    """A consumer's checkpoint, which is stored without a caller that waits for it."""

    __slots__ = ()


def within_callers(group: Sequence[Submission]) -> AbstractContextManager[object]:
    """Return a block in which requests belong to the spans of the group's callers."""
    callers = [one.span for one in group if one.span is not None]
    spans = find_spans() if callers else None
    return NO_SPAN if spans is None else spans.working_for(callers)
