"""Reads and inline projections behind upcasters: they get each event in its current shape."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from eventstore.errors import EventStoreError
from eventstore.log.events import Cursor
from eventstore.log.inline_projection import (
    can_build,
    can_rebuild,
    can_start_from_kept,
    is_named_by_trims,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.log.events import Event
    from eventstore.log.inline_projection import (
        BuildableProjection,
        InlineProjection,
        RebuildableProjection,
    )
    from eventstore.log.operations import Page, Query
    from eventstore.log.upcasting import Upcasters


class UpcastReads:
    """What a store reads through: events in their current shape, or as stored without upcasters."""

    def __init__(self, upcasters: Upcasters | None) -> None:
        self._upcasters = upcasters
        if upcasters is not None:
            upcasters.seal()

    @property
    def lift(self) -> Callable[[Event], Event]:
        """Lifts one event; raises UpcastError."""
        return _unchanged if self._upcasters is None else self._upcasters.lift

    def projections(self, inline: Sequence[InlineProjection]) -> Sequence[InlineProjection]:
        """Return inline projections that get lifted events."""
        upcasters = self._upcasters
        return inline if upcasters is None else [_lifted(one, upcasters) for one in inline]

    def pages(self, read: Callable[[Query], Page]) -> Callable[[Query], Page]:
        """Return a function that reads pages of lifted events; see :func:`upcast_page`."""
        return read if self._upcasters is None else partial(upcast_page, self._upcasters, read)


def _unchanged(event: Event) -> Event:
    return event


class UpcastProjection:
    """An inline projection that gets upcast events."""

    def __init__(self, projection: InlineProjection, upcasters: Upcasters) -> None:
        self.name = projection.name
        self.from_snapshot = can_start_from_kept(projection)
        self.named_by_trims = is_named_by_trims(projection)
        self._projection = projection
        self._lift = upcasters.lift

    def reset(self, connection: Any) -> None:
        """Empty the projection; called only if it may begin with what trimming has kept."""
        assert can_start_from_kept(self._projection)  # noqa: S101
        self._projection.reset(connection)

    def setup(self, connection: Any) -> None:
        """Create what the projection needs."""
        self._projection.setup(connection)

    def cursor(self, connection: Any) -> Cursor | None:
        """Return the checkpoint."""
        return self._projection.cursor(connection)

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        """Lift the events of whole commits and apply them."""
        self._projection.apply(connection, [self._lift(event) for event in events], cursor)


class UpcastRebuildable(UpcastProjection):
    """One that can also be computed again where its readers do not see it."""

    def __init__(self, projection: RebuildableProjection, upcasters: Upcasters) -> None:
        super().__init__(projection, upcasters)
        self.outdated = projection.outdated
        self.create = projection.create
        self.take_over = projection.take_over


class UpcastBuildable(UpcastRebuildable):
    """One whose next version can also be built in the database, and swapped in."""

    def __init__(self, projection: BuildableProjection, upcasters: Upcasters) -> None:
        super().__init__(projection, upcasters)
        self.build_beside = projection.build_beside


def _lifted(projection: InlineProjection, upcasters: Upcasters) -> InlineProjection:
    if can_build(projection):
        return UpcastBuildable(projection, upcasters)
    if can_rebuild(projection):
        return UpcastRebuildable(projection, upcasters)
    return UpcastProjection(projection, upcasters)


def upcast_page(upcasters: Upcasters, read: Callable[[Query], Page], query: Query) -> Page:
    """Read a page and lift its events; types and metadata in a query are those after lifting.

    An event that cannot be lifted ends the page before it, or before its commit where whole
    commits are asked for. At the beginning of a page its error is raised.
    """
    if query.types is None and not query.exclude_types and not query.in_metadata:
        return _lift_events(upcasters, read(query), query)
    types = None if query.types is None else upcasters.stored_types(query.types)
    stored = msgspec.structs.replace(query, types=types, exclude_types=(), in_metadata=b"")
    return _lift_events(upcasters, read(stored), query)


def _lift_events(upcasters: Upcasters, page: Page, query: Query) -> Page:
    events: list[Event] = []
    ends = dict(page.ends)
    for index, stored in enumerate(page.events):
        try:
            event = upcasters.lift(stored)
        except EventStoreError:
            cut = _cut_before(page, query, index)
            if cut is None:
                raise
            return _lift_events(upcasters, cut, query)
        if query.matches(event):
            events.append(event)
        elif event.position == event.commit:
            # Other events of its commit may match, and their cursor needs this hash.
            ends[event.position] = event.hash
    return msgspec.structs.replace(page, events=events, ends=ends)


def _cut_before(page: Page, query: Query, index: int) -> Page | None:
    """Return the page up to an event, or to its commit; ``None`` where nothing is left."""
    events = page.events
    if query.whole_commits:
        commit = events[index].commit
        while index and events[index - 1].commit == commit:
            index -= 1
    if index == 0:
        return None
    last, kept = events[index - 1], events[:index]
    if query.backwards:
        return msgspec.structs.replace(page, events=kept, floor=last.position - 1)
    at, digest = last.position, last.hash
    if query.whole_commits and last.position != last.commit:
        at, digest = last.commit, page.ends[last.commit]
    return msgspec.structs.replace(
        page, events=kept, through=Cursor(page.through.log_id, at, digest)
    )
