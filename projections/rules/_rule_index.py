"""The last good event of each rule and of each state, kept in memory and brought up to date."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from eventstore.errors import HistoryGoneError
from eventstore.log.operations import Query
from eventstore.log.redaction import EVENT_REDACTED, read_redaction
from projections.rules.events import (
    HOLD,
    HOLD_TYPES,
    RULE_DEFINED,
    RULE_REMOVED,
    RULES,
    STATE_TYPES,
    STATES,
)
from projections.rules.fold import Defined, StateSet, read_erasure, read_event
from projections.rules.holds import Holds
from projections.rules.last_good import is_good, is_in_force

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from eventstore import Cursor, Event, EventStore
    from eventstore.log.operations import Page
    from eventstore.log.redaction import Redaction
    from projections.rules.model import RuleState

TYPES: Final = frozenset({RULE_DEFINED, RULE_REMOVED, *STATE_TYPES, *HOLD_TYPES, EVENT_REDACTED})
"""The types of events that change a rule or its state."""

FEW: Final = 64
"""Events of any type that are read together with the head; more are read by their types."""


class RuleIndex:
    """The last good event of each stream of rules and states, as stored.

    Events are decoded when a rule is asked for, so callers get values of their own. Of the
    events that one :meth:`refresh` reads only the last of each stream is decoded; where that
    one cannot be used, the stream is read backwards to its last good event. What a subscription
    has read is not read again: see :meth:`hold`.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._good: dict[str, Event] = {}
        self._cursor: Cursor | None = None
        self.holds = Holds()
        """The holds that were begun and ended up to the latest refresh."""

    async def refresh(self) -> Cursor:
        """Take in what was appended since the last time; return where that ended."""
        latest: dict[str, Event] = {}
        page = None if self._cursor is None else await self._next_page(self._cursor)
        head = await self._store.head() if page is None else page.head
        if page is not None and page.through == head.cursor:
            for event in page.events:
                if event.type in TYPES:
                    self._note(event, latest)
        else:
            after = self._cursor or 0
            reader = self._store.read(after=after, until=head.position, types=TYPES, kept=True)
            async for event in reader:
                self._note(event, latest)
        for stream, event in latest.items():
            good = event if is_good(event) else await self._last_good(stream)
            if good is not None:
                self._good[stream] = good
        self._cursor = head.cursor
        return head.cursor

    @property
    def position(self) -> int:
        """The position that it is up to date with; 0 before the first refresh."""
        return 0 if self._cursor is None else self._cursor.position

    async def _next_page(self, cursor: Cursor) -> Page | None:
        """Return the head with the first events after a cursor; ``None`` where they are gone."""
        query = Query(after=cursor.position, expect=cursor, limit=FEW)
        try:
            return await self._store.feed.log.page(query)
        except HistoryGoneError:
            return None  # What was kept of them is asked for by another read.

    def _note(self, event: Event, latest: dict[str, Event]) -> None:
        if (redaction := read_redaction(event)) is not None:
            self._erase(redaction)
        elif event.stream == HOLD:
            self.holds.apply(event)
        else:
            latest[event.stream] = event

    def hold(self, events: Sequence[Event], after: Cursor, until: Cursor) -> None:
        """Take in all events of TYPES in the range ``(after, until]``.

        Nothing changes where the index is behind ``after``, or past ``until``.
        """
        at = self._cursor
        if at is None or not after.position <= at.position < until.position:
            return
        for event in events:
            if event.position <= at.position:
                continue
            if (redaction := read_redaction(event)) is not None:
                self._erase(redaction)
            elif event.stream == HOLD:
                self.holds.apply(event)
            elif is_good(event):
                self._good[event.stream] = event
        self._cursor = until

    def rule_events(self) -> Iterator[Event]:
        """Yield the last good event of each rule that ever stood, as stored, by id."""
        for stream in sorted(stream for stream in self._good if stream.startswith(RULES)):
            yield self._good[stream]

    def definitions(self) -> Iterator[Defined]:
        """Yield the definition of each rule that stands, by id."""
        return (rule for _, rule in self.events())

    def events(self) -> Iterator[tuple[Event, Defined]]:
        """Yield the definition of each rule that stands with its event, by id."""
        for event in self.rule_events():
            says = read_event(event)
            if isinstance(says, Defined):
                yield event, says

    def standing(self) -> Iterator[tuple[str, int]]:
        """Yield the id of each rule that stands, with the position of its definition; unread."""
        for stream, event in self._good.items():
            if event.type == RULE_DEFINED and event.raw_data is not None:
                yield stream.removeprefix(RULES), event.position

    def positions(self) -> Iterator[tuple[str, int]]:
        """Yield each stream of a rule or a state, with the position of its last good event."""
        for stream, event in self._good.items():
            yield stream, event.position

    def definition(self, rule_id: str) -> tuple[Event, Defined] | None:
        """Return the definition of a rule that stands, with its event; None where there is none."""
        event = self._good.get(RULES + rule_id)
        says = None if event is None else read_event(event)
        return (event, says) if event is not None and isinstance(says, Defined) else None

    def state(self, rule_id: str) -> RuleState | None:
        """Return the state that was set last, None where none was, or it was redacted."""
        event = self._good.get(STATES + rule_id)
        says = None if event is None else read_event(event)
        return says.state if isinstance(says, StateSet) else None

    def _erase(self, redaction: Redaction) -> None:
        good = self._good.get(redaction.stream)
        if good is not None and is_in_force(read_erasure(redaction), good.position):
            self._good[redaction.stream] = msgspec.structs.replace(
                good,
                position=redaction.position,
                version=redaction.version,
                type=redaction.type,
                raw_data=None,
                raw_metadata=None,
            )

    async def _last_good(self, stream: str) -> Event | None:
        async for event in self._store.read_stream(stream, backwards=True):
            if is_good(event):
                return event
        before = (await self._store.head()).first_position - 1
        kept = self._store.read(until=before, streams=stream, types=TYPES, kept=True)
        good = [event async for event in kept if is_good(event)]
        return good[-1] if good else None
