"""What is checked of projections before anything is opened: each fault is a ConfigError."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import ConfigError, InvalidInputError, ProjectionTableError
from eventstore.limits import MAX_CONSUMER_BYTES
from eventstore.log.names import check_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.inline_projection import InlineProjection

INLINE_METHODS: Final = ("setup", "cursor", "apply")

_NOT_PLAIN: Final = (
    (inspect.iscoroutinefunction, "async def"),
    (inspect.isasyncgenfunction, "an asynchronous generator"),
    (inspect.isgeneratorfunction, "a generator"),
)


def check_inline(inline: object, *, identifier_bytes: int | None) -> tuple[InlineProjection, ...]:
    """Return inline projections that may be opened together; raise ConfigError otherwise.

    ``identifier_bytes`` is the longest name of a table that the log's database tells apart.
    Two of them may have neither a name nor a table in common.
    """
    if isinstance(inline, str | bytes) or not isinstance(inline, Iterable):
        raise ConfigError(f"inline={inline!r:.80} is no list of projections: give inline=[…]")
    projections = tuple(inline)
    owners: dict[str, str] = {}
    names: set[str] = set()
    for projection in projections:
        name = check_projection(projection, INLINE_METHODS, "inline")
        if name in names:
            raise ConfigError(
                f"two inline projections are named {name!r}: give each a name of its own"
            )
        names.add(name)
        if (check := getattr(projection, "check_declaration", None)) is not None:
            check(identifier_bytes)
        for table in getattr(projection, "table_names", ()):
            other = owners.setdefault(table.casefold(), name)
            if other != name:
                raise ProjectionTableError(
                    name, table, f"is one of projection {other!r} too: name one of them otherwise"
                )
    return projections


def check_projection(projection: Any, methods: Sequence[str], use: str) -> str:
    """Return the name of a projection that has these methods; raise ConfigError otherwise.

    ``use`` says in messages what it was given for.
    """
    if isinstance(projection, type):
        raise ConfigError(
            f"{use}: {projection.__name__} is a class: give an instance, {projection.__name__}()"
        )
    kind = type(projection).__name__
    if missing := [name for name in methods if not callable(getattr(projection, name, None))]:
        raise ConfigError(f"{use}: {kind} is no such projection: it has no {missing[0]}()")
    name = check_projection_name(kind, getattr(projection, "name", None))
    check_plain(projection, methods)
    return name


def check_projection_name(kind: str, name: object) -> str:
    """Return a projection's name; raise ConfigError where it has none that can be stored."""
    if name is None:
        raise ConfigError(f"projection {kind} has no name: set name = '…' in its class")
    try:
        return check_name(f"the name of projection {kind}", name, MAX_CONSUMER_BYTES)
    except InvalidInputError as error:
        raise ConfigError(str(error)) from error


def check_plain(projection: object, methods: Sequence[str]) -> None:
    """Raise ConfigError where a method is no plain function: nothing would ever run it.

    ``projection`` is one, or the class of one.
    """
    kind_of = projection if isinstance(projection, type) else type(projection)
    for name in methods:
        method = getattr(projection, name, None)
        for candidate in (method, getattr(method, "__call__", None)):  # noqa: B004 - of objects
            for is_kind, kind in _NOT_PLAIN:
                if is_kind(candidate):
                    raise ConfigError(
                        f"{kind_of.__name__}.{name} is {kind}: make it a plain 'def', "
                        "which runs in a thread, within the transaction of its events"
                    )
