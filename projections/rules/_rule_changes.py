"""The iterators that a rule store gives to those who follow its changes."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from eventstore.errors import InvalidInputError
from eventstore.system.owners import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import Self, TypeAlias

    from eventstore import Cursor, Event, Subscription
    from projections.rules.model import RuleChange

    ChangesOf: TypeAlias = Callable[["Held"], Awaitable[list[RuleChange]]]


class Held(NamedTuple):
    """What a subscription has read: all its events in the range ``(after, until]``.

    ``after`` is None where that is not known. ``begins`` says that they begin a commit.
    """

    events: Sequence[Event]
    after: Cursor | None
    until: Cursor | None
    begins: bool


class _Following(Unpicklable):
    """What both iterators share: ``changes_of`` says what events mean, the rest is to end it."""

    def __init__(self, changes_of: ChangesOf, subscription: Subscription) -> None:
        self._changes_of = changes_of
        self.subscription = subscription
        # Taken from the subscription, not given out yet: a cancelled call loses nothing.
        self._taken: Held | None = None
        self._reached: Cursor | None = None

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """End the subscription; a waiting reader stops iterating."""
        await self.subscription.aclose()


class RuleChanges(_Following):
    """An async iterator over single changes; see :meth:`RuleStore.subscribe_changes`."""

    def __init__(self, changes_of: ChangesOf, subscription: Subscription) -> None:
        super().__init__(changes_of, subscription)
        self._given: Event | None = None
        self._commit = 0
        # A hold that begins or ends is many changes; they are given out before the next event.
        self._more: deque[RuleChange] = deque()

    async def __anext__(self) -> RuleChange:
        if self._more:
            return self._more.popleft()
        while True:
            if self._taken is None:
                event = await anext(self.subscription)
                cursor, begins = self.subscription.cursor, event.commit != self._commit
                self._taken = Held([event], self._reached, cursor, begins)
            changes = await self._changes_of(self._taken)
            self._given, self._reached = self._taken.events[0], self._taken.until
            self._commit, self._taken = self._given.commit, None
            if changes:
                self._more.extend(changes[1:])
                return changes[0]

    async def reject(self, reason: str) -> None:
        """Record that this worker cannot use the last change that it was given, and why.

        Operators see it in ``eventstore status``. Raises InvalidInputError without a
        ``consumer`` name, and before the first change.
        """
        if self._given is None:
            raise InvalidInputError("reject", "no change has been given out yet")
        await self.subscription.reject(self._given, reason)


class RuleCommits(_Following):
    """An async iterator over commits; see :meth:`RuleStore.subscribe_commits`."""

    def __init__(self, changes_of: ChangesOf, subscription: Subscription) -> None:
        super().__init__(changes_of, subscription)
        self._commits = subscription.commits()

    async def __anext__(self) -> list[RuleChange]:
        while True:
            if self._taken is None:
                cursor, events = await anext(self._commits)
                self._taken = Held(events, self._reached, cursor, begins=True)
            changes = await self._changes_of(self._taken)
            self._reached, self._taken = self._taken.until, None
            if changes:
                return changes
