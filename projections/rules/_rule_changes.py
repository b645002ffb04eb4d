"""The iterators that a rule store gives to those who follow its changes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.errors import InvalidInputError
from eventstore.system.owners import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self, TypeAlias

    from eventstore import Event, Subscription
    from projections.rules.model import RuleChange

    ChangeOf: TypeAlias = Callable[[Event], Awaitable[RuleChange | None]]


class _Following(Unpicklable):
    """What both iterators share: ``change_of`` says what an event means, the rest is to end it."""

    def __init__(self, change_of: ChangeOf, subscription: Subscription) -> None:
        self._change_of = change_of
        self.subscription = subscription

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """End the subscription; a waiting reader stops iterating."""
        await self.subscription.aclose()


class RuleChanges(_Following):
    """An async iterator over single changes; see :meth:`RuleStore.subscribe_changes`."""

    def __init__(self, change_of: ChangeOf, subscription: Subscription) -> None:
        super().__init__(change_of, subscription)
        # Taken from the subscription, not given out yet: a cancelled call loses nothing.
        self._taken: Event | None = None
        self._given: Event | None = None

    async def __anext__(self) -> RuleChange:
        while True:
            if self._taken is None:
                self._taken = await anext(self.subscription)
            change = await self._change_of(self._taken)
            self._given, self._taken = self._taken, None
            if change is not None:
                return change

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

    def __init__(self, change_of: ChangeOf, subscription: Subscription) -> None:
        super().__init__(change_of, subscription)
        self._commits = subscription.commits()
        self._taken: list[Event] = []

    async def __anext__(self) -> list[RuleChange]:
        while True:
            if not self._taken:
                _, self._taken = await anext(self._commits)
            changes = [await self._change_of(event) for event in self._taken]
            self._taken = []
            if found := [change for change in changes if change is not None]:
                return found
