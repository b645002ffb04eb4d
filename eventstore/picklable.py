"""Exceptions that cross the boundary of a process with their type, text and fields."""

from __future__ import annotations

from typing import Any


class PicklableError(Exception):
    """Base of exceptions that survive ``copy`` and ``pickle``, with other fields than ``args``.

    Type, text, fields and notes are kept, so that an error can cross the boundary of a process.
    As with every exception, its cause and its traceback stay behind.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        """Say how to make the error anew without calling ``__init__``, which takes its fields."""
        return _make_again, (type(self), self.args), self.__dict__ | self._other_fields()

    def _other_fields(self) -> dict[str, Any]:
        """Return a list of notes of their own, and the fields that are in slots."""
        kinds = (vars(kind).get("__slots__", ()) for kind in type(self).__mro__)
        names = {name for slots in kinds for name in ([slots] if isinstance(slots, str) else slots)}
        found = {name: getattr(self, name) for name in names if hasattr(self, name)}
        if notes := getattr(self, "__notes__", None):
            found["__notes__"] = list(notes)
        return found


def _make_again(kind: type[PicklableError], args: tuple[Any, ...]) -> PicklableError:
    error = kind.__new__(kind)
    error.args = args
    return error
