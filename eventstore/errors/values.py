"""An error as JSON-ready values, for machines: the command line and the server give the same."""

from __future__ import annotations

from typing import Any

from eventstore.errors._root import EventStoreError


def error_values(error: BaseException, text: str) -> dict[str, Any]:
    """Return an error as JSON-ready values: its type, its message, and its fields by name."""
    fields = {name: _plain(value) for name, value in vars(error).items() if name[0] != "_"}
    if isinstance(error, OSError) and error.filename is not None:
        fields["filename"] = str(error.filename)
    known = isinstance(error, EventStoreError | OSError)
    return {
        "type": type(error).__name__,
        "message": text,
        "fields": fields if known else {},
    }


def _plain(value: object) -> Any:
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    return str(value)
