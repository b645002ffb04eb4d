"""The queue of a writer: what goes into the next group, and when that is due."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from eventstore.log.operations import Append, Trim
from eventstore.store._submission import Note, Submission, ThreadSubmission

if TYPE_CHECKING:
    from eventstore.log.operations import Acknowledge
    from eventstore.store._submission import LaterSubmission

GROUP_EVENTS: Final = 2_000
GROUP_BYTES: Final = 8 * 1024 * 1024
"""Limits of a group, so that other processes get their turn; a larger append is a group alone."""

ACK_SECONDS: Final = 0.2
ACK_EVENTS: Final = 1_000
"""A consumer's checkpoint is stored this long, or this many events, after its cursor moved."""

RETRY_SECONDS: Final = 1.0
"""When a checkpoint is retried after a lost connection or a timeout of the database."""


@dataclass(slots=True)
class _Progress:
    """A consumer's latest progress, and how many events it has done since it was stored."""

    acknowledge: Acknowledge
    events: int


class WriteQueue:
    """Operations in order of arrival, and progress of consumers. Used with the writer's lock."""

    def __init__(self) -> None:
        self._waiting: deque[Submission] = deque()
        self._notes: dict[str, _Progress] = {}
        self._later: list[LaterSubmission] = []
        self._group: list[Submission] = []
        self.due_at: float | None = None
        """When what can wait is due, on the monotonic clock; ``None`` where nothing waits."""

    def __bool__(self) -> bool:
        return bool(self._waiting or self._notes or self._later)

    def add(self, submission: Submission) -> None:
        """Add an operation that someone waits for."""
        self._waiting.append(submission)

    def add_later(self, submission: LaterSubmission) -> bool:
        """Add an operation that can wait; return whether the queue's time has changed."""
        self._later.append(submission)
        return self._set_due()

    def note(self, acknowledge: Acknowledge) -> bool:
        """Note a consumer's progress; return whether the queue's time has changed."""
        noted = self._notes.get(acknowledge.name)
        if noted is not None and noted.acknowledge.epoch > acknowledge.epoch:
            return False
        events = noted.events + 1 if noted else 1
        self._notes[acknowledge.name] = _Progress(acknowledge, events)
        if events >= ACK_EVENTS and self.due_at is not None:
            self.due_at = 0.0
            return True
        return self._set_due()

    def note_again(self, acknowledge: Acknowledge) -> None:
        """Keep progress that could not be stored, unless there is newer."""
        if acknowledge.name not in self._notes:
            self._notes[acknowledge.name] = _Progress(acknowledge, 1)
            self.due_at = self.due_at or time.monotonic() + RETRY_SECONDS

    def forget(self, name: str, epoch: int) -> None:
        """Drop the progress noted under this epoch."""
        noted = self._notes.get(name)
        if noted is not None and noted.acknowledge.epoch == epoch:
            del self._notes[name]

    def is_due(self) -> bool:
        """Whether there is a group to carry out now."""
        if self._waiting:
            return True
        return self.due_at is not None and time.monotonic() >= self.due_at

    def remaining(self) -> float | None:
        """Return the seconds until what can wait is due; ``None`` where nothing waits."""
        return None if self.due_at is None else max(0.0, self.due_at - time.monotonic())

    def first_thread(self) -> ThreadSubmission | None:
        """Return the first operation whose thread waits for it."""
        if not self._waiting:
            return None
        for one in self._waiting:
            if isinstance(one, ThreadSubmission) and not one.cancelled:
                return one
        return None

    def take_group(self) -> list[Submission]:
        """Take the next group out of the queue, with everything that could wait."""
        if len(self._waiting) == 1 and self.due_at is None and self._waiting[0].begins():
            self._group = [self._waiting.popleft()]
            return self._group
        taken = self._count_next()
        group = [one for one in list(self._waiting)[:taken] if one.begins()]
        # Kept until the next group, so that one whose leader is interrupted can be put back.
        self._group = group
        for _ in range(taken):
            self._waiting.popleft()
        group += [Note(noted.acknowledge) for noted in self._notes.values()]
        self._notes.clear()
        group += [one for one in self._later if one.begins()]
        self._later.clear()
        self.due_at = None
        return group

    def take_all(self) -> list[Submission]:
        """Take everything that a caller waits for."""
        left = [one for one in (*self._waiting, *self._later) if one.begins()]
        self._waiting.clear()
        self._later.clear()
        return left

    def put_back(self, without: Submission) -> None:
        """Put the group back whose leader was interrupted, ``without`` its own operation."""
        unsettled = [one for one in self._group if not one.settled and one is not without]
        waiting = [one for one in self._waiting if one not in unsettled and one is not without]
        self._waiting = deque([*unsettled, *waiting])
        self._group = []

    def _set_due(self) -> bool:
        if self.due_at is not None:
            return False
        self.due_at = time.monotonic() + ACK_SECONDS
        return True

    def _count_next(self) -> int:
        """Return how many of those that wait go into one group."""
        events = size = count = 0
        for count, one in enumerate(self._waiting):
            operation = one.operation
            if isinstance(operation, Trim):
                # It would remove events that operations before it have read.
                return count or 1
            if isinstance(operation, Append):
                events += operation.events
                size += operation.size
                if count and (events > GROUP_EVENTS or size > GROUP_BYTES):
                    return count
        return len(self._waiting)
