"""An async iterator over the changes that a store's events mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore import Cursor, Event, Subscription

T = TypeVar("T")


class Changes(Generic[T]):
    """Changes in the order of the log, as ``read`` makes them of a subscription's events.

    Events of which ``read`` returns ``None`` are left out.
    """

    def __init__(self, subscription: Subscription, read: Callable[[Event], T | None]) -> None:
        self._subscription = subscription
        self._read = read

    def __aiter__(self) -> Changes[T]:
        return self

    async def __anext__(self) -> T:
        while True:
            change = self._read(await self._subscription.__anext__())
            if change is not None:
                return change

    @property
    def cursor(self) -> Cursor | None:
        """Where it is, to continue from later; ``None`` before the first change."""
        return self._subscription.cursor

    async def aclose(self) -> None:
        """End it; a waiting reader stops iterating."""
        await self._subscription.aclose()
