"""Reading a range of the log, a page at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from eventstore.log.events import Event
    from eventstore.log.operations import Query
    from eventstore.store.event_store import EventStore

PAGE_EVENTS: Final = 4096


class EventReader:
    """An async iterator over a range of events; it holds no connection between pages."""

    def __init__(
        self, store: EventStore, query: Query, limit: int | None, *, from_first: bool = False
    ) -> None:
        self._store = store
        self._query = query
        self._left = limit
        self._from_first = from_first
        self._started = False
        self._ended = limit == 0
        self._events: Iterator[Event] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        for event in self._events:
            return event
        while not self._ended:
            await self._fetch()
            for event in self._events:
                return event
        raise StopAsyncIteration

    async def _fetch(self) -> None:
        if not self._started:
            await self._begin()
        wanted = PAGE_EVENTS if self._left is None else min(self._left, PAGE_EVENTS)
        page = await self._store.page(msgspec.structs.replace(self._query, limit=wanted))
        if self._left is not None:
            self._left -= len(page.events)
        self._events = iter(page.events)
        if self._query.backwards:
            self._query = msgspec.structs.replace(self._query, until=page.floor)
            self._ended = page.floor <= self._query.after
        else:
            self._query = msgspec.structs.replace(
                self._query, after=page.through.position, expect=page.through
            )
            self._ended = page.through.position >= (self._query.until or 0)
        self._ended = self._ended or self._left == 0

    async def _begin(self) -> None:
        self._started = True
        head = await self._store.head()
        after, until = self._query.after, self._query.until
        if self._from_first:
            after = head.first_position - 1
        until = head.position if until is None else min(until, head.position)
        self._query = msgspec.structs.replace(self._query, after=after, until=until)
