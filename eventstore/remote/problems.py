"""Answers that are no success, as the errors that the same call raises on a local log."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from eventstore import errors
from eventstore.errors import AccessDeniedError, EventStoreError, StorageError, StoreClosedError

E = TypeVar("E", bound=EventStoreError)

PROBLEM: Final = "application/problem+json"

_AGAIN: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers after which the same request may succeed."""

_DENIED: Final = frozenset({401, 403})

SHOWN: Final = 200
"""Characters of a server's own text in a message."""


class Problem(msgspec.Struct):
    """The body of a problem (RFC 9457)."""

    title: str = ""
    detail: str = ""
    fields: dict[str, Any] = {}


def error_of_answer(where: str, status: int, kind: str, body: bytes) -> EventStoreError:
    """Return the error that an answer stands for; ``kind`` is its content type."""
    if kind.partition(";")[0].strip().lower() == PROBLEM:
        return error_of_problem(where, status, body)
    if status in _DENIED:
        return AccessDeniedError(where, status, "what answers there is no event store")
    reason = f"answered {status} with {kind or 'no type'!r:.60}, which no event store does"
    return StorageError(where, reason, transient=status in _AGAIN)


def error_of_problem(where: str, status: int, body: bytes) -> EventStoreError:
    """Return the error of a problem: of the same class, with the same message and fields."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.MsgspecError, RecursionError):
        return StorageError(where, f"answered {status} with a problem that is none")
    detail = problem.detail or problem.title
    kind = getattr(errors, problem.title, None)
    if not (isinstance(kind, type) and issubclass(kind, EventStoreError)):
        if status in _DENIED:
            return AccessDeniedError(where, status, detail[:SHOWN])
        return StorageError(
            where, f"answered {status}: {detail[:SHOWN]}", transient=status in _AGAIN
        )
    if issubclass(kind, StoreClosedError):
        # The server's store, not the caller's.
        return StorageError(where, "the server stops", transient=True)
    return _restored(kind, detail, problem.fields)


def _restored(kind: type[E], message: str, fields: dict[str, Any]) -> E:
    error = kind.__new__(kind, message)
    error.args = (message,)
    for name, value in fields.items():
        # JSON has no tuples; errors have no lists.
        setattr(error, name, tuple(value) if isinstance(value, list) else value)
    return error
