"""Following the log in a thread: the subscription of event loops, for callers that block."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING

from eventstore.system.contexts import BlockingContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from eventstore.changes.commits import Commits as SharedCommits
    from eventstore.changes.subscription import Subscription as SharedSubscription
    from eventstore.log.events import Cursor, Event
    from eventstore.system.turn_waiting import TurnWaiting


class Subscription(BlockingContext):
    """An iterator over every matching event after a cursor; each step blocks its thread.

    It keeps every promise of :class:`eventstore.Subscription`, with the same arguments and errors,
    and ends once ``timeout`` seconds have passed without an event. A new ``for`` loop over it then
    goes on with the next event. It is for one thread at a time; :meth:`close` may be called from
    any thread and ends a reader that is waiting.
    """

    def __init__(
        self, shared: SharedSubscription, waiting: TurnWaiting, timeout: float | None
    ) -> None:
        self._shared = shared
        self._run = waiting.run
        self._timeout = timeout

    @property
    def cursor(self) -> Cursor | None:
        """Where the subscription is; ``None`` until it is known."""
        return self._shared.cursor

    @property
    def position(self) -> int:
        """The position of :attr:`cursor`."""
        return self._shared.position

    @property
    def caught_up(self) -> bool:
        """Whether every event up to the head, as last read, has been given out."""
        return self._shared.caught_up

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Event:
        self._begin_wait()
        try:
            return self._run(self._shared.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None

    def open(self) -> Self:
        """Begin now rather than with the first event: own the consumer's name, find the start."""
        self._run(self._shared.__aenter__())
        return self

    def commits(self) -> Commits:
        """Iterate over ``(cursor, events)`` of whole commits instead of single events."""
        return Commits(partial(self._next_commit, self._shared.commits()))

    def ack(self, one: Event | Cursor | None = None, *, flush: bool = False) -> None:
        """Mark the last event given out as done; with ``flush``, return once that is stored.

        With ``explicit_ack`` that is all events given out, or ``one`` of them alone.
        """
        self._run(self._shared.ack(one, flush=flush))

    def reject(self, event: Event, reason: str) -> None:
        """Record in the log that this consumer cannot use ``event``, and why."""
        self._run(self._shared.reject(event, reason))

    def close(self) -> None:
        """Store what was marked as done, and end; a reader that waits stops iterating."""
        self._run(self._shared.aclose())

    def _begin_wait(self) -> None:
        if self._timeout is not None:
            self._shared.give_up_at(time.monotonic() + self._timeout)

    def _next_commit(self, commits: SharedCommits) -> tuple[Cursor, list[Event]]:
        self._begin_wait()
        try:
            return self._run(commits.__anext__())
        except StopAsyncIteration:
            raise StopIteration from None


class Commits:
    """An iterator over ``(cursor, events)``, one item per commit; each step blocks its thread."""

    def __init__(self, take: Callable[[], tuple[Cursor, list[Event]]]) -> None:
        self._take = take

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> tuple[Cursor, list[Event]]:
        return self._take()
