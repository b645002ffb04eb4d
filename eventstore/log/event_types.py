"""Typed events: which class holds the data of which event type."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from eventstore.errors import ConfigError, EventDataError, InvalidInputError
from eventstore.log.events import NewEvent

if TYPE_CHECKING:
    from uuid import UUID

    from eventstore.log.events import Event

T = TypeVar("T")

_KINDS: Final = ("__struct_fields__", "__dataclass_fields__", "model_validate")
"""What marks a struct of msgspec, a dataclass and a model of pydantic."""


class EventTypes:
    """The classes of a program's events: msgspec structs, dataclasses, or models of pydantic.

    ``EventTypes(Placed, Paid)`` names each type after its class; ``EventTypes({"order.placed":
    Placed})`` names it otherwise. Raises ConfigError for anything that is no such class, and for
    a type or a class that is given twice.
    """

    def __init__(self, *classes: type | Mapping[str, type]) -> None:
        self._classes: dict[str, type] = {}
        self._names: dict[type, str] = {}
        for given in classes:
            named = given if isinstance(given, Mapping) else {_name_of(given): given}
            for name, class_ in named.items():
                self._add(name, class_)

    def _add(self, name: str, class_: Any) -> None:
        if not (isinstance(class_, type) and _has_fields(class_)):
            raise ConfigError(
                f"{class_!r:.80} is no class of events: give a msgspec.Struct, a dataclass or a "
                "model of pydantic"
            )
        if name in self._classes or class_ in self._names:
            raise ConfigError(f"event type {name!r} or {class_.__name__} is given twice: name one")
        self._classes[name] = class_
        self._names[class_] = name

    def __contains__(self, name: object) -> bool:
        return name in self._classes

    @property
    def names(self) -> frozenset[str]:
        """The event types that have a class."""
        return frozenset(self._classes)

    def name(self, class_: type) -> str:
        """Return the event type of a class; raise ConfigError where it has none."""
        try:
            return self._names[class_]
        except KeyError:
            known = ", ".join(one.__name__ for one in self._names) or "none"
            raise ConfigError(
                f"{class_.__name__} is not among the declared classes of events ({known}): add it "
                "to EventTypes"
            ) from None

    def new(
        self,
        value: object,
        *,
        id: str | UUID | None = None,  # noqa: A002 - the name that NewEvent has
        metadata: Mapping[str, Any] | None = None,
    ) -> NewEvent:
        """Return the event that holds ``value``; raise ConfigError for an undeclared class."""
        name = self.name(type(value))
        try:
            if hasattr(value, "model_dump"):
                data = value.model_dump(mode="json")
            else:
                data = _lists(msgspec.to_builtins(value, str_keys=True))
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"a {name!r}", f"cannot be stored as JSON: {error}") from error
        return NewEvent(name, data, id=id, metadata=metadata)

    def decode(self, event: Event) -> Any:
        """Return an event's data as a value of its class, or as they are where it has none.

        Raises EventDataError where they do not fit. An event without content has ``None``.
        """
        class_ = self._classes.get(event.type)
        if class_ is None or event.redacted:
            return event.data
        try:
            if hasattr(class_, "model_validate"):
                return class_.model_validate(event.data)
            return msgspec.convert(event.data, class_, str_keys=True)
        except ValueError as error:  # Both libraries derive their errors from it.
            where = event.type, event.stream, event.position
            raise EventDataError(*where, _reason(error)) from None


def _lists(value: Any) -> Any:
    """Return a value with lists for tuples: JSON has only those."""
    if isinstance(value, dict):
        return {key: _lists(one) for key, one in value.items()}
    return [_lists(one) for one in value] if isinstance(value, (list, tuple)) else value


def _name_of(class_: object) -> str:
    return class_.__name__ if isinstance(class_, type) else repr(class_)


def _has_fields(class_: type) -> bool:
    return any(hasattr(class_, kind) for kind in _KINDS)


def _reason(error: ValueError) -> str:
    """Return what does not fit, without the values: they may be secret."""
    errors = getattr(error, "errors", None)
    if errors is None:
        return str(error)
    faults = errors(include_url=False, include_context=False, include_input=False)
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in faults)
