"""Aggregates: load the state of one stream, decide, append at its version, again on a conflict."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar, cast

from eventstore.errors import (
    ConfigError,
    ConflictError,
    HistoryDivergedError,
    HistoryGoneError,
)
from eventstore.log.event_types import EventTypes
from eventstore.log.events import Cursor, NewEvent
from eventstore.log.redaction import REDACTIONS, read_redaction
from projections.tables.snapshots import Snapshot, Snapshots

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterable

    from eventstore import Appended, EventStore
    from eventstore.log.operations import StreamState
    from projections.folds import Fold

S = TypeVar("S")

ATTEMPTS: Final = 5
"""How often a decision is taken, each time on the newest state, until its conflict is raised."""


@dataclass(frozen=True)
class Aggregate(Generic[S]):
    """The state of one stream at its version; version 0 is a stream without events."""

    state: S
    version: int


class Aggregates(Generic[S]):
    """The streams of one category, each as the state that a fold computes from its events.

    ``Aggregates(store, Order(), "order")`` are the streams ``order/…``. With ``snapshot_every`` a
    state is stored beside the log once so many events were read since its last snapshot.
    """

    def __init__(
        self, store: EventStore, fold: Fold[S], category: str, *, snapshot_every: int | None = None
    ) -> None:
        if snapshot_every is not None and snapshot_every < 1:
            raise ConfigError(f"snapshot_every={snapshot_every}: give a number of events above 0")
        self._store = store
        self._fold = fold
        self._category = category.removesuffix("/")
        self._every = snapshot_every
        self._snapshots = Snapshots(store, f"{fold.name}/{category}", fold.version)

    async def load(self, key: str) -> Aggregate[S]:
        """Return the state of a stream, by its key within the category.

        Raises ProjectionError where an event cannot be applied, and HistoryGoneError where events
        were trimmed that no snapshot has.
        """
        stream = f"{self._category}/{key}"
        state, version, since = self._fold.initial(), 0, 0
        if (known := await self._snapshot(stream)) is not None:
            state, version = self._fold.decode(known.state), known.stream_version
        last = None
        async for last in self._store.read_stream(stream, after_version=version):
            if last.version != version + 1:
                reason = f"events of {stream!r} were trimmed; a snapshot has to be newer than that"
                raise HistoryGoneError(0, last.position, reason)
            state, version, since = self._fold.after(state, last), last.version, since + 1
        if last is None and await self._lacks(stream, version):
            reason = f"the last events of {stream!r} were trimmed, and no snapshot has them"
            raise HistoryGoneError(0, (await self._store.head()).first_position, reason)
        if last is not None and self._every is not None and since >= self._every:
            head = await self._store.head()
            cursor = Cursor(head.log_id, last.position, last.hash)
            await self._snapshots.save(Snapshot(cursor, version, self._fold.encode(state)), stream)
        return Aggregate(state, version)

    async def execute(
        self, key: str, decide: Callable[[S], Iterable[Any]], *, attempts: int = ATTEMPTS
    ) -> Appended | None:
        """Append the events that ``decide`` returns for the state; ``None`` where these are none.

        They are NewEvents, or values of the fold's ``event_types``. Where another program has
        appended to the stream meanwhile, the state is loaded and ``decide`` called again; the
        ConflictError of the last of so many attempts is raised. What ``decide`` raises is raised,
        and nothing is appended.
        """
        while True:
            attempts -= 1
            aggregate = await self.load(key)
            events = [self._new(event) for event in decide(aggregate.state)]
            if not events:
                return None
            try:
                return await self._store.append(
                    f"{self._category}/{key}", events, expected=aggregate.version
                )
            except ConflictError:
                if attempts <= 0:
                    raise

    async def _lacks(self, stream: str, version: int) -> bool:
        """Return whether events of a stream after a version were trimmed, up to its last one."""
        if (await self._store.head()).first_position == 1:
            return False
        found = self._store.streams(stream)
        async with aclosing(cast("AsyncGenerator[StreamState]", found)) as streams:
            first = await anext(streams, None)  # In the order of names: the stream itself.
        if first is None or first.name != stream or first.version <= version:
            return False
        later = self._store.read_stream(stream, after_version=version)
        return not [event async for event in later]  # Some may have been appended meanwhile.

    def _new(self, event: Any) -> NewEvent:
        if isinstance(event, NewEvent):
            return event
        declared = self._fold.event_types
        return (declared if isinstance(declared, EventTypes) else EventTypes()).new(event)

    async def _snapshot(self, stream: str) -> Snapshot | None:
        """Return a stream's snapshot, unless it is of another history or holds what was erased."""
        if self._every is None or (found := await self._snapshots.read(stream)) is None:
            return None
        try:
            async for event in self._store.read(after=found.cursor, streams=REDACTIONS):
                redaction = read_redaction(event)
                if redaction is not None and redaction.stream == stream:
                    await self._snapshots.drop(stream)
                    return None
            self._fold.decode(found.state)
        except (HistoryDivergedError, HistoryGoneError, ValueError):
            return None
        return found
