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
        return _make_again, (type(self), self.args), self.__dict__.copy()


def _make_again(kind: type[PicklableError], args: tuple[Any, ...]) -> PicklableError:
    error = kind.__new__(kind)
    error.args = args
    return error
