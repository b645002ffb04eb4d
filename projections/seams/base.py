"""What the storage seams have in common: a log, an inline view of it, and who writes.

Each seam is a package of the same make: ``model`` (its values), ``events`` (how a write becomes
an event, and is read again), ``views`` (the tables, which each append keeps up to date in its
own transaction), ``store`` (the interface that callers know). Writes append, and return once
that is durable; reads ask the tables.
"""

from __future__ import annotations

import unicodedata
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import quote, unquote

import anyio

from eventstore import ANY, EventStore, NewEvent
from eventstore.errors import (
    ConfigError,
    InvalidInputError,
    LimitExceededError,
    StoreClosedError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Connection

    from eventstore import Appended, Cursor, Event, Subscription
    from eventstore.log.events import Expected
    from eventstore.log.operations import Head
    from projections.tables.projection import TableProjection

T = TypeVar("T")

MAX_KEY_BYTES: Final = 255
"""The longest text that names something, in bytes of UTF-8."""


def stream_key(text: object, what: str = "name") -> str:
    """Return any text as the key of a stream; :func:`read_stream_key` undoes it.

    What a stream's name may not hold (control characters), or would read otherwise (``/``,
    ``%``), is percent-encoded; any other text stays as it is. Raises InvalidInputError for
    an empty text and for what has no UTF-8, LimitExceededError over MAX_KEY_BYTES.
    """
    if not isinstance(text, str) or not text:
        raise InvalidInputError(what, f"must be a text that is not empty, not {text!r:.80}")
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError(what, f"{text!r:.80} cannot be written as UTF-8") from error
    if size > MAX_KEY_BYTES:
        raise LimitExceededError(f"{what} {text[:40]!r}…, bytes", size, MAX_KEY_BYTES)
    return "".join(
        quote(one, safe="") if one in "%/" or unicodedata.category(one) == "Cc" else one
        for one in text
    )


def read_stream_key(key: str) -> str:
    """Return the text that :func:`stream_key` made a key of."""
    return unquote(key)


def choose(variable: str, value: str, known: Mapping[str, T]) -> T:
    """Return what a setting chooses; raise ConfigError, a ValueError, naming what it may be."""
    name = value.strip().lower()
    if name not in known:
        raise ConfigError(f"{variable} is {value!r:.80}: it must be one of {', '.join(known)}")
    return known[name]


class Seam:
    """The log of a seam and its view: opened by the seam where it was given a URL.

    ``log`` is a URL, or an open :class:`~eventstore.EventStore` that has ``view`` inline,
    which the caller closes. ``by`` says who writes, in each event's metadata; without it that
    is the process (``host:pid``). ``options`` are those of ``EventStore.open``, for a URL.
    """

    def __init__(
        self,
        log: EventStore | str,
        view: TableProjection,
        *,
        by: str | None = None,
        **options: Any,
    ) -> None:
        self._given = log
        self._view = view
        self._by = by
        self._options = options
        self._opening = anyio.Lock()
        self._opened: EventStore | None = None
        self._seen: Cursor | None = None
        if isinstance(log, EventStore):
            if view.name not in log.inline:
                raise ConfigError(
                    f"the store {log.url} does not keep the view {view.name!r}: open it with "
                    f"EventStore.open(url, inline=[{type(view).__name__}()])"
                )
            self._opened = log
            self._begin(log)
        else:
            EventStore.open(log, inline=[view], **options)  # Names what is wrong at once.

    @property
    def log(self) -> EventStore:
        """The open store; raises StoreClosedError where it is not open."""
        if self._opened is None:
            raise StoreClosedError(
                f"the {self._view.name} in {self._given} is not open: call its opening method first"
            )
        return self._opened

    async def open_log(self) -> None:
        """Open the log, unless it is open."""
        async with self._opening:
            if self._opened is None and isinstance(self._given, str):
                store = EventStore.open(self._given, inline=[self._view], **self._options)
                self._opened = await store.__aenter__()
                self._begin(store)

    async def close_log(self) -> None:
        """Close the log where it was opened here. What was noted is stored first."""
        async with self._opening:
            if self._opened is not None and isinstance(self._given, str):
                store, self._opened = self._opened, None
                await store.aclose()

    async def __aenter__(self) -> Self:
        await self.open_log()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close_log()

    def _begin(self, store: EventStore) -> None:
        """Make what needs an open log; nothing here. Called when there is one."""

    def _event(
        self, type_: str, data: Any, *, by: str | None = None, event_id: str | None = None
    ) -> NewEvent:
        """Return an event that says who writes it; with an id of its own where one is given."""
        metadata = {"by": by or self._by or self.log.owner}
        return NewEvent(type_, data, id=event_id, metadata=metadata)

    async def _append(self, stream: str, *events: NewEvent, expected: Expected = ANY) -> Appended:
        return await self.log.append(stream, events, expected=expected)

    async def _query(self, function: Callable[[Connection], T]) -> T:
        """Ask the view, once it has everything that was committed when this was called."""
        goal: int | None = None
        while True:
            answer = await self.log.query(partial(self._ask, function, goal))
            if answer.found:
                self._seen = answer.cursor
                result: T = answer.result
                return result
            # Somebody who does not keep the view has appended.
            goal = answer.cursor.position if goal is None else goal
            await self.log.transact()

    def _ask(
        self,
        function: Callable[[Connection], Any],
        goal: int | None,
        connection: Connection,
        head: Head,
    ) -> _Answer:
        at = self._view.position(connection)
        if at < (head.position if goal is None else goal):
            return _Answer(False, head.cursor, None)
        return _Answer(True, head.cursor, function(connection))

    def _follow(
        self,
        read: Callable[[Event], T | None],
        *,
        streams: str | None,
        after: int | Cursor | None,
        **options: Any,
    ) -> Changes[T]:
        """Follow what ``read`` makes of events; from what was read last where not told."""
        start = after if after is not None else (self._seen or self.log.seen)
        return Changes(self.log.subscribe_changes(after=start, streams=streams, **options), read)


class _Answer(NamedTuple):
    found: bool
    cursor: Cursor
    result: Any


class Changes(Generic[T]):
    """An async iterator over changes, in the order of the log, without an end."""

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
        """Where it is, for following on from here later; ``None`` before the first change."""
        return self._subscription.cursor

    async def aclose(self) -> None:
        """End it; a waiting reader stops iterating."""
        await self._subscription.aclose()
