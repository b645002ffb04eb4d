"""The ownership of consumers' names: the newest opener owns, in this process or another one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import UnknownConsumerError
from eventstore.log.events import Cursor
from eventstore.log.operations import (
    REMOVED,
    Acknowledge,
    OpenConsumer,
    RemoveConsumer,
    RewindConsumer,
    ownership_error,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from eventstore.changes.protocol import FollowedLog
    from eventstore.errors import EventStoreError
    from eventstore.log.operations import ConsumerState
    from eventstore.system.event_loop import Signal


class ConsumerOwnership:
    """The consumers that subscriptions of one store own, and those that they have lost.

    An *epoch* counts the openings of a name. Each page that a subscription reads brings the
    names whose epoch has risen since; the writer reports the same where it stores progress.
    Everything here runs in the store's event loop.
    """

    def __init__(self, log: FollowedLog, owner: str, changed: Signal) -> None:
        self._log = log
        self.owner = owner
        """Names this process."""
        self._changed = changed
        self._epochs: dict[str, int] = {}
        self._lost: dict[tuple[str, int], EventStoreError] = {}

    @property
    def owned(self) -> tuple[tuple[str, int], ...]:
        """Name and epoch of each consumer that this store owns, for ``Query.consumers``.

        May be read from any thread.
        """
        return tuple(self._epochs.copy().items())

    async def open(self, name: str, find_start: Callable[[], Awaitable[Cursor]]) -> ConsumerState:
        """Own a name, which is created at a start where it is new; its owner before loses it.

        ``find_start`` is called for a new name only: the position may be trimmed by now.
        """
        try:
            state = await self._open(name, None)
        except UnknownConsumerError:
            state = await self._open(name, await find_start())
        self._lose(name, self.owner)
        self._epochs[name] = state.epoch
        return state

    async def _open(self, name: str, start: Cursor | None) -> ConsumerState:
        operation = OpenConsumer(name, self.owner, start)
        state: ConsumerState = await self._log.write(operation)
        return state

    async def remove(self, name: str) -> ConsumerState:
        """Remove a name; its owner loses it. Raises UnknownConsumerError."""
        state: ConsumerState = await self._log.write(RemoveConsumer(name))
        self._lose(name, REMOVED)
        return state

    async def rewind(self, name: str, to: int | Cursor) -> ConsumerState:
        """Move a name back; its owner loses it. Raises what RewindConsumer says."""
        operation = RewindConsumer(name, to, self.owner)
        state: ConsumerState = await self._log.write(operation)
        self._lose(name, self.owner)
        return state

    def _lose(self, name: str, owner: str) -> None:
        """End a subscription of this store that has owned the name until now."""
        if (earlier := self._epochs.pop(name, None)) is not None:
            self.take_away(name, earlier, ownership_error(name, owner))

    def release(self, name: str, epoch: int) -> None:
        """Stop watching the ownership of a name: its subscription has ended."""
        self._lost.pop((name, epoch), None)
        if self._epochs.get(name) == epoch:
            del self._epochs[name]

    def take_away(self, name: str, epoch: int, error: EventStoreError) -> None:
        """Record why progress of a name is not stored any more, and wake the subscriptions."""
        self._lost[name, epoch] = error
        self._changed.set()

    def record_lost(self, lost: Mapping[tuple[str, int], str]) -> None:
        """Record the lost names of a page: (name, epoch) to the new owner."""
        for (name, epoch), owner in lost.items():
            self._lost[name, epoch] = ownership_error(name, owner)

    def check(self, name: str, epoch: int) -> None:
        """Raise TakenOverError where the name has been opened since under a later epoch.

        Raises LogReplacedError where its progress was refused because the log is another copy.
        """
        error = self._lost.get((name, epoch))
        if error is not None:
            raise error

    def note(self, name: str, epoch: int, done: Cursor) -> None:
        """Remember what a consumer has done, to be stored within 200 ms or 1,000 events."""
        self._log.writer.note(name, epoch, done)

    async def store(self, name: str, epoch: int, done: Cursor) -> None:
        """Store what a consumer has done; return once it is durable.

        Raises TakenOverError where the name has another owner.
        """
        self._log.writer.forget(name, epoch)
        await self._log.write(Acknowledge(name, epoch, done))

    async def skip_gone(self, name: str) -> Cursor:
        """Move a consumer that is below the first position on to it; return where it is."""
        head = await self._log.head()
        first = Cursor(head.log_id, head.first_position - 1, head.base_hash or b"")

        async def begin() -> Cursor:
            return first

        state = await self.open(name, begin)
        if state.cursor.position >= first.position:
            return state.cursor
        await self._log.write(Acknowledge(name, state.epoch, first))
        return first
