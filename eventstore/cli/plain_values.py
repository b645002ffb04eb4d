"""Values of options and arguments that need no converter of typer's.

typer converts each value by pydantic, those that were not given included. Importing pydantic and
making the converters is a third of what a command like ``status`` takes.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

_NOT_PLAIN: Final = object()


def take_plain_values(command: Any) -> Any:
    """Let the parameters of a command that typer made take plain values; return the command.

    What needs more, such as a path or a choice, goes to typer, and so does what is wrong: typer
    says what. Versions of typer that convert in another way are left as they are.
    """
    get_params = command.get_params
    command.get_params = lambda context: [_prepared(one) for one in get_params(context)]
    return command


def _prepared(parameter: Any) -> Any:
    """Put plain values before typer's converter, once; ``--help`` is a parameter too."""
    known = hasattr(parameter, "get_runtime_param") and hasattr(parameter, "type_descriptor")
    if known and "get_runtime_param" not in vars(parameter):
        plain = _PlainValues(parameter.get_runtime_param)
        parameter.get_runtime_param = lambda: plain
    return parameter


class _PlainValues:
    """Stands before typer's converter of one parameter, which is made when it is needed."""

    def __init__(self, make_converter: Any) -> None:
        self._make_converter = make_converter

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """Return the value for the command."""
        many = param.multiple or param.nargs == -1
        if value is None:
            return () if many else None
        taken = (_take_many if many else _take)(value, param.type_descriptor)
        if taken is _NOT_PLAIN:
            return self._make_converter().coerce(value, param=param, ctx=ctx)
        return taken


def _take_many(values: Any, described: Any) -> Any:
    info, kind = described.parameter_info, described.annotation
    if info.parser is not None or not isinstance(values, list | tuple):
        return _NOT_PLAIN
    if kind == list[Path]:
        taken = [_take_path(value, info) for value in values]
        return _NOT_PLAIN if any(one is _NOT_PLAIN for one in taken) else taken
    return list(values) if kind == list[str] else _NOT_PLAIN


def _take(value: Any, described: Any) -> Any:
    """Return the value, parsed by the option's own parser; ``_NOT_PLAIN`` where that is not all."""
    info, kind = described.parameter_info, described.annotation
    if info.parser is not None:
        try:
            return info.parser(value)
        except ValueError:
            return _NOT_PLAIN
    if kind is Path:
        return _take_path(value, info)
    if kind is int and isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value)
    if kind not in {str, bool, int, float} or type(value) is not kind:
        return _NOT_PLAIN
    low = info.min is not None and value < info.min
    high = info.max is not None and value > info.max
    return _NOT_PLAIN if low or high else value


def _take_path(value: Any, info: Any) -> Any:
    """Return a path of which typer would check no more than that what is there can be read."""
    asked = info.exists or info.writable or info.resolve_path or info.allow_dash or info.path_type
    if asked or not (info.file_okay and info.dir_okay) or not isinstance(value, str | Path):
        return _NOT_PLAIN
    path = Path(value)
    return path if not path.exists() or os.access(path, os.R_OK) else _NOT_PLAIN
