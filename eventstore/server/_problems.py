"""Problems: every answer that is no success, as ``application/problem+json`` (RFC 9457).

``type`` is ``/problems/`` and the error's name, or ``about:blank`` where the status says it all;
``fields`` has the error's typed fields.
"""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.responses import Response

from eventstore.errors import (
    ChangeRejectedError,
    ConflictError,
    ConsumerRemovedError,
    DuplicateEventError,
    EventStoreError,
    HistoryDivergedError,
    HistoryGoneError,
    InvalidInputError,
    LimitExceededError,
    LogReplacedError,
    NotAppliedError,
    StorageError,
    StoreClosedError,
    TakenOverError,
    UnknownConsumerError,
)
from eventstore.errors.values import error_values
from eventstore.moments.errors import MomentError, UnknownMomentError
from eventstore.system.secret_text import conceal

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)

_STATUS: Final = (
    (ConflictError, 409),
    (DuplicateEventError, 409),
    (HistoryDivergedError, 409),
    (ChangeRejectedError, 409),
    (HistoryGoneError, 410),
    (ConsumerRemovedError, 410),
    (TakenOverError, 409),
    (UnknownConsumerError, 404),
    (UnknownMomentError, 404),
    (MomentError, 400),
    (NotAppliedError, 504),
    (LimitExceededError, 413),
    (InvalidInputError, 400),
    (LogReplacedError, 503),
    (StorageError, 503),
    (StoreClosedError, 503),
)


class HttpError(EventStoreError):
    """An answer that the server decides on itself: ``status`` is that of HTTP."""

    def __init__(self, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self._headers = dict(headers or {})

    @property
    def headers(self) -> dict[str, str]:
        """Headers of the answer."""
        return self._headers


def answer(error: Exception) -> Response:
    """Return the problem that says what went wrong; of a fault of the program only that."""
    headers: dict[str, str] = {"cache-control": "no-store"}
    if isinstance(error, HttpError):
        headers |= error.headers
        return _problem(error.status, error, headers, HTTPStatus(error.status).phrase)
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return _problem(status, error, headers)
    log.error("a request failed by a fault of the program", exc_info=error)
    title = {"type": "about:blank", "title": "a fault of the program", "status": 500}
    return _encode(title, headers)


def problem_body(error: Exception) -> bytes:
    """Return the body of :func:`answer`, for a stream that has begun to answer."""
    return bytes(answer(error).body)


def _problem(
    status: int, error: EventStoreError, headers: dict[str, str], title: str = ""
) -> Response:
    said = error_values(error, conceal(str(error)))
    problem = {
        "type": "about:blank" if title else f"/problems/{said['type']}",
        "title": title or said["type"],
        "status": status,
        "detail": said["message"],
        "fields": said["fields"],
    }
    return _encode(problem, headers)


def _encode(problem: dict[str, Any], headers: dict[str, str]) -> Response:
    body = msgspec.json.encode(problem, enc_hook=str)
    return Response(body, problem["status"], headers, media_type="application/problem+json")
