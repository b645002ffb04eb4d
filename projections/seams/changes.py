"""Changes that a store's events mean: an async iterator over them, and who wrote them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from eventstore.system.owners import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore import Cursor, Event, Subscription

T = TypeVar("T")


def writer_of(event: Event) -> str | None:
    """Return who wrote an event, as its metadata says under ``by``; ``None`` if unknown."""
    by = event.metadata.get("by")
    return by if isinstance(by, str) else None


class Changes(Unpicklable, Generic[T]):
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
