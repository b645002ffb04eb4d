"""Iterating over whole commits instead of single events."""

from __future__ import annotations

from typing import TYPE_CHECKING

from eventstore.system.owners import Unpicklable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from typing import Self

    from eventstore.log.events import Cursor, Event


class Commits(Unpicklable):
    """An async iterator over ``(cursor, events)``, one item per commit.

    ``take`` returns the next item; see :meth:`eventstore.Subscription.commits`.
    """

    def __init__(self, take: Callable[[], Awaitable[tuple[Cursor, list[Event]]]]) -> None:
        self._take = take

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Cursor, list[Event]]:
        return await self._take()
