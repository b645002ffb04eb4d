"""Folds: a state in memory that is a function of the log, for what needs no table."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, TypeVar

import msgspec

from eventstore.errors import ConfigError, HistoryDivergedError, ProjectionError
from eventstore.log.redaction import EVENT_REDACTED, read_redaction
from projections.handlers import NO_HANDLERS, Handlers, check_class
from projections.tables.snapshots import Snapshot, Snapshots

if TYPE_CHECKING:
    from collections.abc import Collection

    from eventstore import Cursor, Event, EventStore
    from eventstore.log.event_types import EventTypes

log = logging.getLogger(__name__)

S = TypeVar("S")

SNAPSHOT_EVERY: Final = 10_000
"""Events after which :meth:`FoldRunner.run` stores a snapshot."""


class Fold(ABC, Generic[S]):
    """A state, and what each event does to it: in memory, and snapshotted beside the log.

    Subclass it with ``name``, ``version``, :meth:`initial` and handlers: methods marked by
    :func:`projections.handles` that take the state, the event and its data, and return the new
    state, or ``None`` where they changed the one that they were given. What is wrong with them is
    a ConfigError where the class is defined. Raise ``version`` with each change: snapshots of
    another version are not used. A state is stored as JSON and read as ``state_type``, by default
    the type of the initial state.
    """

    name: ClassVar[str]
    version: ClassVar[int] = 1
    event_types: ClassVar[EventTypes | Collection[str] | None] = None
    """The events that handlers may name, with their classes or without; ``None`` for any."""
    state_type: ClassVar[Any] = None
    _handlers: ClassVar[Handlers] = NO_HANDLERS

    def __init_subclass__(cls, **options: Any) -> None:
        """Find the handlers; raise ConfigError for what cannot be used."""
        super().__init_subclass__(**options)
        cls._handlers = Handlers(cls, cls.event_types)
        check_class(cls, cls._handlers, Fold, ("initial", "handle"))

    @abstractmethod
    def initial(self) -> S:
        """Return the state before the first event, a new one each time."""

    def handle(self, state: S, event: Event) -> S | None:
        """Return the state after an event: this one calls its handler."""
        answer: S | None = self._handlers.call(self, state, event)
        return answer

    def after(self, state: S, event: Event) -> S:
        """Return the state after an event; raise ProjectionError for what a handler raises."""
        if event.redacted:
            return state
        try:
            answer = self.handle(state, event)
        except Exception as error:
            raise ProjectionError(self.name, event.position, repr(error)) from error
        return state if answer is None else answer

    def encode(self, state: S) -> bytes:
        """Return a state as it is stored."""
        return msgspec.json.encode(state)

    def decode(self, stored: bytes) -> S:
        """Return a state that was stored; raise ValueError where it is none."""
        kind = type(self.initial()) if self.state_type is None else self.state_type
        state: S = msgspec.json.decode(stored, type=kind)
        return state

    def types(self) -> set[str] | None:
        """Return the event types that change the state; ``None`` for any."""
        if type(self).handle is not Fold.handle:
            return None
        if not self._handlers:
            raise ConfigError(
                f"fold {self.name!r} does nothing with events: mark methods with @handles, or "
                "define handle()"
            )
        return set(self._handlers.methods)


class _ErasedError(Exception):
    """The state was computed from an event that was redacted since."""


class FoldRunner(Generic[S]):
    """The state of one fold over a log: ``state``, as of ``cursor``, which is ``None`` at first.

    :meth:`catch_up` begins with the snapshot beside the log, if it is of this version and of this
    log's history, and reads on from its cursor. A state that was computed from an event that was
    redacted since is computed again. One FoldRunner is for one task at a time.
    """

    def __init__(self, store: EventStore, fold: Fold[S]) -> None:
        self._store = store
        self._fold = fold
        self._snapshots = Snapshots(store, fold.name, fold.version)
        self._types = fold.types()
        self._clean = 0  # What was redacted before this position was read without its content.
        self._opened = self._saved = False
        self._since = 0
        self.state = fold.initial()
        self.cursor: Cursor | None = None

    async def catch_up(self) -> S:
        """Bring the state to the head of the log, and return it.

        Raises ProjectionError where an event cannot be applied, and HistoryGoneError where the log
        was trimmed and there is no snapshot of what is gone. Both leave the initial state.
        """
        await self._advance(follow=False)
        return self.state

    async def run(self, *, snapshot_every: int = SNAPSHOT_EVERY) -> None:
        """Follow the log until cancelled; store a snapshot each so many events."""
        await self._advance(follow=True, snapshot_every=snapshot_every)

    async def save(self) -> None:
        """Store a snapshot of the present state beside the log."""
        if self.cursor is not None:
            stored = Snapshot(self.cursor, 0, self._fold.encode(self.state))
            await self._snapshots.save(stored)
            self._saved, self._since = True, 0

    async def verify(self) -> bool:
        """Tell whether the state is the one that is computed from the first event on.

        Brings it to the head first. Raises what :meth:`catch_up` raises.
        """
        await self.catch_up()
        again = FoldRunner(self._store, self._fold)
        again._opened = True
        until = 0 if self.cursor is None else self.cursor.position
        await again._advance(follow=False, until=until)
        return self._fold.encode(again.state) == self._fold.encode(self.state)

    async def _advance(
        self, *, follow: bool, until: int | None = None, snapshot_every: int | None = None
    ) -> None:
        while True:
            try:
                await self._open()
                await self._read(follow, until, snapshot_every)
            except _ErasedError:
                log.info("%s is computed again: an event was redacted", self._fold.name)
                self._reset()
                if self._saved:
                    await self._snapshots.drop()
            except HistoryDivergedError:
                if not self._saved or self.cursor is None:
                    raise
                log.warning("the snapshot of %s is of another history", self._fold.name)
                self._reset()
            except BaseException:
                # Handlers may have changed the state: it is no longer as of the cursor.
                self._reset()
                self._opened = False
                raise
            else:
                return

    async def _open(self) -> None:
        """Begin with the snapshot, the first time."""
        if self._opened:
            return
        found = await self._snapshots.read()
        self._opened = True
        if found is not None:
            try:
                self.state, self.cursor = self._fold.decode(found.state), found.cursor
            except ValueError as error:
                log.warning("the snapshot of %s is not used: %s", self._fold.name, error)
            self._saved = True

    async def _read(self, follow: bool, until: int | None, every: int | None) -> None:
        if self.cursor is None:
            self._clean = (await self._store.head()).position
        types = None if self._types is None else self._types | {EVENT_REDACTED}
        subscription = self._store.subscribe_changes(
            after=0 if self.cursor is None else self.cursor, types=types, follow=follow
        )
        async with subscription:
            async for cursor, events in subscription.commits():
                if until is not None and cursor.position > until:
                    return
                for event in events:
                    self._apply(event)
                self.cursor, self._since = cursor, self._since + len(events)
                if every is not None and self._since >= every:
                    await self.save()
            self.cursor = subscription.cursor

    def _apply(self, event: Event) -> None:
        if read_redaction(event) is None:
            self.state = self._fold.after(self.state, event)
        elif event.position > self._clean:
            raise _ErasedError

    def _reset(self) -> None:
        self.state, self.cursor, self._since = self._fold.initial(), None, 0
