"""Upcasters: functions that lift an event of an older type or shape to the current one.

What is stored never changes. Everything that reads through a store that was opened with
``upcasters=…`` sees each event as if it had been written today; positions, ids, times and
hashes are those of the log, and so cursors stay good.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias, TypeGuard, TypeVar

import msgspec

from eventstore import limits
from eventstore.errors import ConfigError, EventStoreError, UpcastError
from eventstore.log.events import Cursor, Event, NewEvent
from eventstore.log.inline_projection import can_start_from_kept
from eventstore.log.names import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.operations import Page, Query

Upcaster: TypeAlias = Callable[[Any, dict[str, Any]], Any]
"""Takes data and metadata, copies of its own; returns new data, or ``(data, metadata)``."""

F = TypeVar("F", bound=Upcaster)

SCHEMA_KEY: Final = "schema"
"""Where a writer puts the number of the shape, in metadata. Without one it is 1."""


class Shape(NamedTuple):
    """What an upcaster lifts from or to: an event type, and the number of its shape."""

    type: str
    schema: int


@dataclass(frozen=True, slots=True)
class _Lift:
    function: Upcaster
    target: Shape

    @property
    def name(self) -> str:
        module = getattr(self.function, "__module__", "")
        return f"{module}.{getattr(self.function, '__qualname__', repr(self.function))}"


class Upcasters:
    """A registry of functions that lift older events, one step each; steps are chained.

    An event's *shape* is its type together with the whole number from 1 on that its writer
    put into ``metadata["schema"]``; an event without that key has the number 1. Shapes for
    which nothing is registered, numbers from the future and a ``schema`` that is no such
    number among them, pass through untouched.

    Give it to ``EventStore.open(url, upcasters=…)``, which closes it to further
    registration. The functions run in threads, several at once and again for each reading:
    they must depend on nothing but their arguments.
    """

    def __init__(self) -> None:
        self._lifts: dict[Shape, _Lift] = {}
        self._types: set[str] = set()
        self._sealed = False

    def register(
        self,
        type: str,  # noqa: A002 - as in NewEvent
        *,
        schema: int = 1,
        to: str | None = None,
        to_schema: int | None = None,
    ) -> Callable[[F], F]:
        """Register a function for events of ``type`` whose shape has the number ``schema``.

        ``to`` is the type that it lifts to, the same one where left out. ``to_schema`` is the
        number there: by default the next one within a type, 1 in another. The function gets
        ``(data, metadata)`` and returns new data, or ``(data, metadata)``, as NewEvent takes
        them; the number in metadata is kept right for it. A return value of None is taken for
        a forgotten ``return``: say ``(None, metadata)`` where null is meant.

        Raises ConfigError for a second function for one shape, for a chain that would come
        back to where it began, for a schema that is no number from 1 on, for what cannot be
        called with data and metadata, and once a store uses the registry; InvalidInputError
        for a name that no type can have.
        """
        source = Shape(check_name("event type", type, limits.MAX_TYPE_BYTES), schema)
        to = type if to is None else check_name("event type", to, limits.MAX_TYPE_BYTES)
        if to_schema is None:
            to_schema = schema + 1 if to == type else 1
        target = Shape(to, to_schema)
        for shape in (source, target):
            if not _is_schema(shape.schema):
                raise ConfigError(f"{shape.schema!r:.40} is no schema: use a number from 1 on")

        def register(function: F) -> F:
            _check_function(function)
            self._add(source, _Lift(function, target))
            return function

        return register

    def _add(self, source: Shape, lift: _Lift) -> None:
        if self._sealed:
            raise ConfigError(f"{lift.name}: register it before a store is opened with these")
        if (first := self._lifts.get(source)) is not None:
            raise ConfigError(f"{_told(source)} is lifted by {first.name} already: not {lift.name}")
        if source in (lift.target, *self._way(lift.target)):
            raise ConfigError(f"{lift.name} would lift {_told(source)} in a circle")
        self._lifts[source] = lift
        self._types.add(source.type)

    def _way(self, shape: Shape) -> Iterable[Shape]:
        """Yield what a shape is lifted to, step by step."""
        while (lift := self._lifts.get(shape)) is not None:
            shape = lift.target
            yield shape

    def _end(self, shape: Shape) -> Shape:
        *_, end = (shape, *self._way(shape))
        return end

    def seal(self) -> None:
        """Take no further functions: a store has begun to read with these."""
        self._sealed = True

    def lift(self, event: Event) -> Event:
        """Return the event in its current shape; the same one where nothing applies.

        A redacted event has no content to lift and no number: it gets the type that an event
        of schema 1 would get. Raises UpcastError where a function fails or returns what no
        event can hold, CorruptEventError where the stored content is not JSON any more.
        """
        if event.type not in self._types:
            return event
        if event.raw_data is None:
            return msgspec.structs.replace(event, type=self._end(Shape(event.type, 1)).type)
        shape = _shape(event)
        while shape is not None and (lift := self._lifts.get(shape)) is not None:
            event, shape = _apply(lift, event), lift.target
        return event

    def stored_types(self, types: Iterable[str]) -> tuple[str, ...]:
        """Return every type under which events may be stored that are read as one of these."""
        wanted = set(types)
        older = {source.type for source in self._lifts if self._end(source).type in wanted}
        return tuple(sorted(wanted | older))


class LiftedView:
    """An inline projection that is given lifted events."""

    def __init__(self, view: InlineProjection, upcasters: Upcasters) -> None:
        self.name = view.name
        self.from_snapshot = can_start_from_kept(view)
        self._view = view
        self._lift = upcasters.lift

    def reset(self, connection: Any) -> None:
        """Empty the view; called only where it may begin with what trimming has kept."""
        assert can_start_from_kept(self._view)  # noqa: S101
        self._view.reset(connection)

    def setup(self, connection: Any) -> None:
        """Create what the view needs."""
        self._view.setup(connection)

    def cursor(self, connection: Any) -> Cursor | None:
        """Return how far the view has come."""
        return self._view.cursor(connection)

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        """Lift the events of whole commits and apply them."""
        self._view.apply(connection, [self._lift(event) for event in events], cursor)


def lifted_page(upcasters: Upcasters, read: Callable[[Query], Page], query: Query) -> Page:
    """Read a page, lift what is in it, and keep to the types that were asked for.

    A filter means types as they are read. An event that cannot be lifted ends the page before
    it, or before its commit where whole commits are asked for; at the beginning of a page
    it raises.
    """
    if query.types is None:
        return _lift_page(upcasters, read(query), query)
    stored = msgspec.structs.replace(query, types=upcasters.stored_types(query.types))
    return _lift_page(upcasters, read(stored), query)


def _lift_page(upcasters: Upcasters, page: Page, query: Query) -> Page:
    events: list[Event] = []
    ends = dict(page.ends)
    for index, stored in enumerate(page.events):
        try:
            event = upcasters.lift(stored)
        except EventStoreError:
            cut = _cut_before(page, query, index)
            if cut is None:
                raise
            return _lift_page(upcasters, cut, query)
        if query.types is None or event.type in query.types:
            events.append(event)
        elif event.position == event.commit:
            # Its commit may have events that are wanted, and needs a cursor all the same.
            ends[event.position] = event.hash
    return msgspec.structs.replace(page, events=events, ends=ends)


def _shape(event: Event) -> Shape | None:
    """Return the shape of an event, or ``None`` where its metadata names none that we know."""
    metadata: object = event.metadata
    schema = metadata.get(SCHEMA_KEY, 1) if isinstance(metadata, dict) else None
    return Shape(event.type, schema) if _is_schema(schema) else None


def _is_schema(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 1


def _check_function(function: object) -> None:
    """Raise ConfigError now for what would fail on an old event, perhaps years from now."""
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigError(f"{function!r:.80} is no upcaster: register a plain function")
    try:
        inspect.signature(function).bind(None, {})
    except TypeError as error:
        raise ConfigError(f"{function!r:.80} is no upcaster (data, metadata): {error}") from error
    except ValueError:
        return  # Some functions written in C do not tell.


def _told(shape: Shape) -> str:
    return f"{shape.type!r} of schema {shape.schema}"


def _apply(lift: _Lift, event: Event) -> Event:
    """Return the event one step on. Data and metadata are the function's own copies."""
    data, metadata = event.data, event.metadata
    try:
        new = _call(lift, data, metadata, event)
    except Exception as error:
        # The function is the user's own: whatever it raises is about this event.
        raise UpcastError(lift.name, event.position, event.type, _reason(error)) from error
    return msgspec.structs.replace(
        event,
        type=new.type,
        content=new.content,
        raw_data=new.raw_data,
        raw_metadata=new.raw_metadata,
    )


def _call(lift: _Lift, data: Any, metadata: dict[str, Any], event: Event) -> NewEvent:
    result = lift.function(data, metadata)
    if result is None:
        raise TypeError("it returned None; for null return (None, metadata)")
    data, metadata = result if isinstance(result, tuple) else (result, event.metadata)
    if not isinstance(metadata, Mapping):
        raise TypeError("the metadata it returned is no JSON object")
    metadata = dict(metadata)
    metadata.pop(SCHEMA_KEY, None)
    if lift.target.schema > 1:
        metadata[SCHEMA_KEY] = lift.target.schema
    return NewEvent(lift.target.type, data, id="lifted", metadata=metadata)


def _reason(error: Exception) -> str:
    return str(error) if isinstance(error, EventStoreError) else repr(error)


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
