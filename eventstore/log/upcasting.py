"""Upcasters: functions that lift an event of an older type or shape to the current one.

Stored events never change. A store that was opened with ``upcasters=…`` gives every reader
each event in its current shape; positions, ids, times and hashes are those of the log, so
cursors stay valid.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias, TypeGuard, TypeVar

import msgspec

from eventstore import limits
from eventstore.errors import ConfigError, EventStoreError, UpcastError
from eventstore.log.events import Event, NewEvent
from eventstore.log.names import check_name

Upcaster: TypeAlias = Callable[[Any, dict[str, Any]], Any]
"""Takes data and metadata, copies of its own; returns new data, or ``(data, metadata)``."""

F = TypeVar("F", bound=Upcaster)

SCHEMA_KEY: Final = "schema"
"""The key in metadata under which a writer puts the number of the shape. Without it it is 1."""


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
    put into ``metadata["schema"]``; an event without that key has the number 1. Events of other
    shapes pass through unchanged, including later numbers and a ``schema`` that is no number.

    Give it to ``EventStore.open(url, upcasters=…)``; no function can be registered afterwards.
    The functions run in threads, several at once and again for each read: they must depend on
    nothing but their arguments.
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
        them; the number in the metadata is set for it. A return value of None is an error, as
        from a forgotten ``return``: return ``(None, metadata)`` for null.

        Raises ConfigError for a second function for one shape, for a chain that would be a
        circle, for a schema that is no number from 1 on, for a function that cannot be
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
            raise ConfigError(f"{_name(source)} is lifted by {first.name} already: not {lift.name}")
        if source in (lift.target, *self._steps(lift.target)):
            raise ConfigError(f"{lift.name} would lift {_name(source)} in a circle")
        self._lifts[source] = lift
        self._types.add(source.type)

    def _steps(self, shape: Shape) -> Iterable[Shape]:
        """Yield the shapes that a shape is lifted to, step by step."""
        while (lift := self._lifts.get(shape)) is not None:
            shape = lift.target
            yield shape

    def _end(self, shape: Shape) -> Shape:
        *_, end = (shape, *self._steps(shape))
        return end

    def seal(self) -> None:
        """Refuse further functions: a store has begun to read with these."""
        self._sealed = True

    def lift(self, event: Event) -> Event:
        """Return the event in its current shape; the same one where nothing applies.

        A redacted event has no content to lift and no number: it gets the type that an event
        of schema 1 would get. Raises UpcastError where a function fails or returns what no
        event can hold, CorruptEventError where the stored content is no longer JSON.
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


def _shape(event: Event) -> Shape | None:
    """Return the shape of an event, or ``None`` where its metadata has no valid number."""
    metadata: object = event.metadata
    schema = metadata.get(SCHEMA_KEY, 1) if isinstance(metadata, dict) else None
    return Shape(event.type, schema) if _is_schema(schema) else None


def _is_schema(value: object) -> TypeGuard[int]:
    return type(value) is int and value >= 1


def _check_function(function: object) -> None:
    """Raise ConfigError at registration for a function that would fail on the first old event."""
    if not callable(function) or inspect.iscoroutinefunction(function):
        raise ConfigError(f"{function!r:.80} is no upcaster: register a plain function")
    try:
        inspect.signature(function).bind(None, {})
    except TypeError as error:
        raise ConfigError(f"{function!r:.80} is no upcaster (data, metadata): {error}") from error
    except ValueError:
        return  # Some functions written in C have no signature.


def _name(shape: Shape) -> str:
    return f"{shape.type!r} of schema {shape.schema}"


def _apply(lift: _Lift, event: Event) -> Event:
    """Return the event one step on. Data and metadata are the function's own copies."""
    data, metadata = event.data, event.metadata
    try:
        new = _call(lift, data, metadata, event)
    except Exception as error:
        # The function is the user's own: any exception of it concerns this event.
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
