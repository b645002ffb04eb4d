"""Handlers of single event types: declared by a decorator, checked when their class is defined."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventstore.errors import ConfigError
from eventstore.log.event_types import EventTypes
from eventstore.log.projection_checks import check_plain, check_projection_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from eventstore.log.events import Event

F = TypeVar("F", bound="Callable[..., Any]")

_MARK: Final = "__handles__"

MAX_VERSION: Final = 2**31 - 1
"""The largest version: it is stored in 32 bits."""


def handles(*events: str | type) -> Callable[[F], F]:
    """Mark a method as the handler of these event types, each by name or by its declared class.

    It is called with what the projection works on (a table projection's connection, a fold's
    state), the event, and the event's data: a value of the declared class, if there is one.
    Raises ConfigError where it is given none.
    """
    if not events or not all(isinstance(event, str | type) for event in events):
        raise ConfigError("@handles takes the types of events: @handles('Placed', 'Paid')")

    def mark(function: F) -> F:
        setattr(function, _MARK, events)
        return function

    return mark


class Handlers:
    """The handlers of one class, by event type.

    Making it raises ConfigError for a handler that is no plain function or takes other arguments,
    for two handlers of one event type, and for a type that ``declared`` does not have.
    """

    def __init__(self, class_: type, declared: object) -> None:
        self._types = _event_types(class_, declared)
        self._names = None if declared is None else _declared_names(declared)
        self._methods: dict[str, str] = {}
        for method, events in _marked(class_).items():
            check_plain(class_, [method])
            _check_arguments(class_, method)
            for event in events:
                self._add(class_, method, event)

    def _add(self, class_: type, method: str, event: str | type) -> None:
        where = f"{class_.__name__}.{method}"
        name = event if isinstance(event, str) else self._types.name(event)
        if self._names is not None and name not in self._names:
            known = ", ".join(map(repr, sorted(self._names))) or "none"
            raise ConfigError(
                f"{where} handles {name!r}, which is not among the declared events ({known}): "
                "correct the name, or add it to event_types"
            )
        if (other := self._methods.setdefault(name, method)) != method:
            raise ConfigError(f"{where} and {other} both handle {name!r}: leave one of them")

    def __bool__(self) -> bool:
        return bool(self._methods)

    @property
    def methods(self) -> Mapping[str, str]:
        """The name of the method for each event type."""
        return self._methods

    def call(self, owner: object, target: Any, event: Event) -> Any:
        """Call the handler of an event, if it has one; return what it returns.

        Raises EventDataError where the data do not fit the declared class, and TypeError for work
        that nothing would do.
        """
        method = self._methods.get(event.type)
        if method is None:
            return None
        answer = getattr(owner, method)(target, event, self._types.decode(event))
        refuse_deferred(answer)
        return answer


def _marked(class_: type) -> dict[str, tuple[str | type, ...]]:
    """Return what each method of a class handles; an overridden one only where marked again."""
    return {
        name: getattr(value, _MARK)
        for name in dict.fromkeys(name for base in class_.__mro__[::-1] for name in vars(base))
        if hasattr(value := inspect.getattr_static(class_, name), _MARK)
    }


def _event_types(class_: type, declared: object) -> EventTypes:
    if isinstance(declared, EventTypes):
        return declared
    if declared is None or (
        isinstance(declared, set | frozenset | tuple | list)
        and all(isinstance(name, str) for name in declared)
    ):
        return EventTypes()
    raise ConfigError(
        f"{class_.__name__} has event_types = {declared!r:.80}: give EventTypes(…), or names "
        "of events"
    )


def _declared_names(declared: Any) -> frozenset[str]:
    return declared.names if isinstance(declared, EventTypes) else frozenset(declared)


def _check_arguments(class_: type, method: str) -> None:
    try:
        inspect.signature(getattr(class_, method)).bind(None, None, None, None)
    except TypeError:
        raise ConfigError(
            f"{class_.__name__}.{method} cannot be called as a handler: let it take self, what it "
            "changes, the event, and the event's data"
        ) from None


NO_HANDLERS: Final = Handlers(object, None)


def check_class(class_: type, handlers: Handlers, base: type, methods: Sequence[str]) -> None:
    """Raise ConfigError for what the class of a projection shows when it is defined.

    ``base`` is the class that all projections have, ``methods`` are its own. One with
    handlers of single event types names itself and its version; otherwise each object may.
    """
    kind = class_.__name__
    own = {name for one in class_.__mro__ if not issubclass(base, one) for name in vars(one)}
    if handlers:
        check_projection_name(kind, getattr(class_, "name", None))
        if "version" not in own:
            raise ConfigError(
                f"projection {kind} has no version: set version = 1 in its class, and raise it "
                "with each change to tables or meaning"
            )
    for name in own & {"name", "version"}:
        value = inspect.getattr_static(class_, name)
        if hasattr(value, "__get__"):
            continue  # Computed for each object.
        if name == "name":
            check_projection_name(kind, value)
        else:
            check_version(kind, value)
    check_plain(class_, methods)


def check_version(name: str, version: object) -> None:
    """Raise ConfigError for a version that cannot be stored."""
    if type(version) is not int or not 1 <= version <= MAX_VERSION:
        raise ConfigError(
            f"projection {name!r} has version {version!r:.80}: it is an int from 1 to {MAX_VERSION}"
        )


def refuse_deferred(answer: object) -> None:
    """Raise TypeError for what a handler returned where it is work that nothing would do."""
    if inspect.isawaitable(answer) or inspect.isgenerator(answer) or inspect.isasyncgen(answer):
        if inspect.iscoroutine(answer):
            answer.close()
        raise TypeError(f"handle() returned {type(answer).__name__}: make it a plain function")
