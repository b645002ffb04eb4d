"""Reading a range of the log, a page at a time."""

from __future__ import annotations

from threading import get_ident
from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.errors import InvalidInputError
from eventstore.log.events import END, OLDEST, Cursor, Special
from eventstore.log.names import check_stream
from eventstore.log.operations import Query
from eventstore.log.validation import check_after, check_limit, check_until
from eventstore.system.owners import Unpicklable

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Self

    from eventstore.changes.protocol import LogReader
    from eventstore.log.events import Event
    from eventstore.log.operations import Page, StreamState
    from eventstore.store._log_access import LogAccess

STREAMS_PAGE: Final = 1000
"""Streams that are read at once."""

PAGE_EVENTS: Final = 4096

ALL_EVENTS: Final = Query(oldest=True)

MAX_VERSION: Final = 2**63 - 1
"""The largest number that a database column can hold."""


class EventReader(Unpicklable):
    """An async iterator over a range of events; it holds no connection between pages."""

    def __init__(
        self, log: LogReader, query: Query, limit: int | None, keep: object = None
    ) -> None:
        self._log = log
        self._guard = log.guard
        self._keep = keep  # The store: it is open for as long as this is in use.
        self._query = query
        self._left = limit
        self._started = False
        self._ended = limit == 0
        self.page: Iterator[Event] = iter(())
        """What was read and not yet given out."""

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        # What ``check`` does, without calling it where all is well: this runs for each event.
        if self._guard.home._thread_id != get_ident():  # noqa: SLF001
            self._guard.check()
        for event in self.page:
            return event
        if await self.fill():
            return next(self.page)
        raise StopAsyncIteration

    async def fill(self) -> bool:
        """Read pages until one has events, once :attr:`page` was given out; False at the end."""
        while not self._ended:
            if await self._fetch():
                return True
        return False

    async def _fetch(self) -> int:
        """Read the next page; return how many events it has."""
        if not self._started:
            await self._begin()
        wanted = PAGE_EVENTS if self._left is None else min(self._left, PAGE_EVENTS)
        page = await self._log.page(msgspec.structs.replace(self._query, limit=wanted))
        if self._left is not None:
            self._left -= len(page.events)
        self.page = iter(page.events)
        if self._query.backwards:
            self._query = msgspec.structs.replace(self._query, until=page.floor)
            self._ended = page.floor <= self._lowest(page)
        else:
            self._query = msgspec.structs.replace(
                self._query, after=page.through.position, expect=page.through, oldest=False
            )
            self._ended = page.through.position >= (self._query.until or 0)
        self._ended = self._ended or self._left == 0
        return len(page.events)

    def _lowest(self, page: Page) -> int:
        """Return the position at which a read backwards ends."""
        if not self._query.oldest:
            return self._query.after
        return 0 if self._query.kept else page.head.first_position - 1

    async def _begin(self) -> None:
        self._started = True
        head, until = await self._log.head(), self._query.until
        until = head.position if until is None else min(until, head.position)
        self._query = msgspec.structs.replace(self._query, until=until)


def read_range(
    log: LogReader,
    after: int | Cursor | Special = OLDEST,
    until: int | Cursor | None = None,
    *,
    matching: Query = ALL_EVENTS,
    backwards: bool = False,
    limit: int | None = None,
    keep: object = None,
) -> EventReader:
    """Read the events in ``(after, until]`` that match; see :meth:`eventstore.EventStore.read`."""
    start = check_after(after)
    if start is END:
        raise InvalidInputError("after=END", "only a subscription starts there")
    query = msgspec.structs.replace(
        matching,
        after=_position_of(start),
        until=check_until(until),
        backwards=backwards,
        expect=start if isinstance(start, Cursor) else None,
        oldest=start is OLDEST,
    )
    return EventReader(log, query, check_limit(limit), keep)


def _position_of(start: int | Cursor | Special) -> int:
    """Return the position of a start that has one, else 0."""
    if isinstance(start, Cursor):
        return start.position
    return start if isinstance(start, int) else 0


def read_stream(
    log: LogReader,
    stream: str,
    after_version: int = 0,
    *,
    backwards: bool = False,
    limit: int | None = None,
    keep: object = None,
) -> EventReader:
    """Read one stream's events; see :meth:`eventstore.EventStore.read_stream`."""
    if type(after_version) is not int or after_version < 0:
        raise InvalidInputError(f"after_version={after_version!r:.40}", "is no version")
    query = Query(
        streams=check_stream(stream),
        after_version=min(after_version, MAX_VERSION),
        backwards=backwards,
        oldest=True,
    )
    return EventReader(log, query, check_limit(limit), keep)


async def read_streams(
    log: LogAccess,
    prefix: str,
    *,
    keep: object,  # noqa: ARG001 - held until the reading ends
) -> AsyncIterator[StreamState]:
    """Yield the streams whose names begin with ``prefix``, by name, a page at a time.

    ``keep`` is what has to stay open meanwhile: the store.
    """
    try:
        prefix.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError("prefix", f"{prefix!r:.80} cannot be written as UTF-8") from error
    after = ""
    while page := await log.stream_states(prefix, after, STREAMS_PAGE):
        for stream in page:
            log.guard.check()
            yield stream
        after = page[-1].name
