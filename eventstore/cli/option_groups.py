"""Groups of options: a dataclass as the type of one parameter, whose fields are the options.

A command that takes ``events: EventFilter`` has an option for each field of EventFilter, and is
given one EventFilter. The fields are annotated as typer has it. Where a dataclass knows nothing of
typer, ``Annotated[ServerSettings, Described({...})]`` says what typer shows of its fields.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from typing import Annotated, Any, get_type_hints


@dataclass(frozen=True)
class Described:
    """What typer shows of the fields of a dataclass, by their names; of others it knows nothing."""

    fields: Mapping[str, Any]


def ungroup(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
    """Return the parameters with each group replaced by those of its fields."""
    found = []
    for one in parameters:
        kind, described = _group(one.annotation)
        found += [one] if kind is None else _parameters(kind, described)
    return found


def regroup(
    parameters: Iterable[inspect.Parameter], values: Mapping[str, object]
) -> dict[str, object]:
    """Return what a function with these parameters takes, from one value for each option."""
    left, groups = dict(values), {}
    for one in parameters:
        kind, described = _group(one.annotation)
        if kind is not None:
            names = [field.name for field in _parameters(kind, described)]
            groups[one.name] = kind(**{name: left.pop(name) for name in names})
    return left | groups


def _group(annotation: Any) -> tuple[Any, Described | None]:
    """Return the dataclass that an annotation groups options by, or None."""
    described = getattr(annotation, "__metadata__", (None,))[0]
    if isinstance(described, Described):
        return annotation.__origin__, described
    return (annotation if is_dataclass(annotation) else None), None


def _parameters(kind: Any, described: Described | None) -> list[inspect.Parameter]:
    types = get_type_hints(kind, include_extras=True)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=_default(field),
            annotation=types[field.name]
            if described is None
            else Annotated[types[field.name], described.fields[field.name]],
        )
        for field in fields(kind)
        if described is None or field.name in described.fields
    ]


def _default(field: Field[Any]) -> object:
    return inspect.Parameter.empty if field.default is MISSING else field.default
