"""Live streams that are written to together: what is new is made once for all with one filter.

A broadcast has one subscription. It writes to the connections of its listeners itself, without a
task of each. So its cost for a listener is about that of the call of the operating system. A
listener that does not take what is written, or that lacks what came before, leaves: its own task
reads the log for it, at its pace, and joins again once it has caught up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio
from anyio.lowlevel import checkpoint

from eventstore.log.events import Cursor
from eventstore.server._problems import problem_body

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from anyio.abc import TaskGroup

    from eventstore.changes.subscription import Subscription
    from eventstore.log.events import Event
    from eventstore.log.operations import Query
    from eventstore.server._connection import Connection

HEARTBEAT: Final = 15.0
"""Seconds without an event after which all listeners are told that their stream is alive."""

PART_BYTES: Final = 32 * 1024
"""Bytes of events that are written at once; a single event may be larger."""

TURN: Final = 100
"""Listeners that are written to before other tasks run."""


@dataclass(frozen=True)
class Form:
    """How an event is written, and the sign that a stream is alive at a cursor."""

    event: Callable[[Cursor, Event], bytes]
    alive: Callable[[Cursor], bytes]


class Part:
    """Bytes of a stream, with the position of the first event in them and the cursor of the last.

    ``first`` is 0 for a sign that the stream is alive: no event that matches is before ``last``.
    """

    def __init__(self, first: int, last: Cursor, body: bytes) -> None:
        self.first, self.last, self.body = first, last, body
        self.chunk = b"%x\r\n%b\r\n" % (len(body), body)
        """The same as a chunk of HTTP/1.1 (RFC 9112, 7.1)."""


class Listener:
    """One stream. It has every matching event up to ``cursor``."""

    def __init__(
        self, connection: Connection, cursor: Cursor, in_force: Callable[[], bool]
    ) -> None:
        self.connection = connection
        self.cursor = cursor
        self.problem = b""
        """Why the broadcast has failed."""
        self.lacked = 0
        """The position up to which a broadcast had written that could not be joined."""
        self.joined: Broadcast | None = None
        self._in_force = in_force
        self._whole = anyio.CancelScope()
        self._waiting = anyio.CancelScope()

    @property
    def ended(self) -> bool:
        """Whether the stream is over: its token is not in force, the server stops, it failed."""
        return self._whole.cancel_called or bool(self.problem) or not self._in_force()

    def lasting(self, seconds: float) -> anyio.CancelScope:
        """Return the context of the stream: it ends after so many seconds, and by :meth:`end`."""
        self._whole.deadline = anyio.current_time() + seconds
        return self._whole

    def waiting(self) -> anyio.CancelScope:
        """Return the context in which the stream's task waits while it has joined a broadcast."""
        self._waiting = anyio.CancelScope()
        return self._waiting

    async def end(self) -> None:
        """End the stream."""
        self.leave()
        self._whole.cancel()

    def leave(self) -> None:
        """Be written to no more; the stream's task goes on."""
        if self.joined is not None:
            self.joined.remove(self)
            self.joined = None
        self._waiting.cancel()

    def write(self, part: Part) -> None:
        """Write a part that follows what the stream has; leave where that cannot be."""
        position = self.cursor.position
        if position >= part.last.position and part.first:
            return  # It has read so far itself.
        whole = position < part.first or not part.first
        connection = self.connection
        if not (whole and self._in_force() and connection.write_part(part.body, part.chunk)):
            self.leave()
        elif position < part.last.position:
            self.cursor = part.last


class Broadcast:
    """The listeners of one filter and form. Events up to ``cursor`` were written."""

    def __init__(self, changes: Subscription, start: Cursor, form: Form) -> None:
        self._changes = changes
        self._form = form
        self._listeners: set[Listener] = set()
        self._reading = True
        self._turn = anyio.Lock(fast_acquire=True)
        self._written_at = anyio.current_time()
        self.cursor = start
        self.scope = anyio.CancelScope()

    def join(self, listener: Listener) -> bool:
        """Take a listener in that has all that was written; return whether it has."""
        if listener.cursor.position >= self.cursor.position and not self.scope.cancel_called:
            self._listeners.add(listener)
            listener.joined = self
        return listener.joined is self

    def remove(self, listener: Listener) -> None:
        """Let a listener go; the last one ends the broadcast."""
        self._listeners.discard(listener)
        if not self._listeners:
            self.scope.cancel()

    def end(self, problem: bytes = b"") -> None:
        """Let all listeners go: each reads on by itself, unless there is a problem to tell."""
        self.scope.cancel()
        for listener in list(self._listeners):
            listener.problem = problem
            listener.leave()

    async def run(self) -> None:
        """Write what comes until there is no listener."""
        problem = b""
        try:
            with self.scope:
                async with self._changes as changes, anyio.create_task_group() as tasks:
                    tasks.start_soon(self._beat)
                    await self._follow(changes)
                    tasks.cancel_scope.cancel()
        except ExceptionGroup as errors:
            problem = problem_body(errors.exceptions[0])
        except Exception as error:
            problem = problem_body(error)
        self.end(problem)

    async def _follow(self, changes: Subscription) -> None:
        async for _, events in changes.commits():
            self._reading = False
            for part in self._parts(events):
                await self._write(part)
            self._reading = True

    async def _beat(self) -> None:
        """Tell all that their stream is alive, after a while without an event.

        It interrupts no read: where each took longer than that, none would ever end.
        """
        while True:
            await anyio.sleep_until(self._written_at + HEARTBEAT)
            if anyio.current_time() >= self._written_at + HEARTBEAT:
                if self._reading:
                    here = self._changes.cursor or self.cursor
                    await self._write(Part(0, here, self._form.alive(here)))
                self._written_at = anyio.current_time()

    def _parts(self, events: Sequence[Event]) -> Iterator[Part]:
        first, body = 0, b""
        for event in events:
            first = first or event.position
            cursor = Cursor(self.cursor.log_id, event.position, event.hash)
            body += self._form.event(cursor, event)
            if len(body) >= PART_BYTES or event is events[-1]:
                yield Part(first, cursor, body)
                first, body = 0, b""

    async def _write(self, part: Part) -> None:
        async with self._turn:
            self.cursor, self._written_at = part.last, anyio.current_time()
            for number, listener in enumerate(list(self._listeners), 1):
                if listener in self._listeners:
                    listener.write(part)
                if number % TURN == 0:
                    await checkpoint()


class Broadcasts:
    """The broadcasts of a server. ``subscribe`` opens a subscription to a filter's events."""

    def __init__(self, subscribe: Callable[[Query, Cursor], Subscription]) -> None:
        self._subscribe = subscribe
        self._tasks: TaskGroup | None = None
        self._running: dict[tuple[Query, str, Form], Broadcast] = {}

    def start(self, tasks: TaskGroup) -> None:
        """Begin: subscriptions run in this task group."""
        self._tasks = tasks

    def join(self, listener: Listener, query: Query, form: Form) -> bool:
        """Let a listener join the others of a filter; return False where they have more than it.

        It reads on to the head of the log before it asks again. Where it still lacks what they had
        then, the log has been restored to an earlier state: the broadcast ends, so that each
        listener reads for itself, which finds that out.
        """
        cursor = listener.cursor
        key = (query, cursor.log_id, form)
        running = self._running.get(key)
        if running is not None and cursor.position < listener.lacked:
            running.end()
        if running is None or running.scope.cancel_called:
            assert self._tasks is not None  # noqa: S101 - requests come while the server runs
            running = Broadcast(self._subscribe(query, cursor), cursor, form)
            self._running[key] = running
            self._tasks.start_soon(self._run, key, running)
        joined = running.join(listener)
        listener.lacked = 0 if joined else running.cursor.position
        return joined

    async def _run(self, key: tuple[Query, str, Form], running: Broadcast) -> None:
        try:
            await running.run()
        finally:
            if self._running.get(key) is running:
                del self._running[key]
