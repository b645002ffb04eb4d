"""Keywords that several methods take: written once, and shown by each of them.

Such a method takes ``**more: Unpack[Keywords]``, with a TypedDict of their types, and hands them to
one function, which has their defaults.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def shows(keywords: type, function: Callable[..., object]) -> Callable[[F], F]:
    """Show ``keywords`` in a method's signature and help, with the defaults of ``function``."""
    given = inspect.signature(function).parameters
    shown = [
        given[name].replace(annotation=getattr(type_, "__forward_arg__", type_))
        for name, type_ in keywords.__annotations__.items()
    ]

    def show(method: F) -> F:
        signature = inspect.signature(method)
        own = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
        method.__signature__ = signature.replace(parameters=[*own, *shown])  # type: ignore[attr-defined]
        return method

    return show
