"""A log record, and what else a command says on stderr, as JSON-ready values."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from eventstore.errors import EventStoreError
from eventstore.errors.values import error_values

if TYPE_CHECKING:
    import threading


def make_record(level: int, text: str, error: BaseException | None = None) -> logging.LogRecord:
    """Return a record of the command line itself; ``error`` is what it tells of."""
    record = logging.LogRecord("eventstore", level, __file__, 0, "%s", (text,), None)
    record.error = error
    return record


def record_values(record: logging.LogRecord) -> dict[str, Any]:
    """Return time, level, logger and message, and the type and fields of the error it tells of.

    That is an error that was given to the record, or one that its message quotes.
    """
    values: dict[str, Any] = {
        "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname,
        "logger": record.name,
        "message": record.getMessage(),
    }
    error = _error(record)
    if error is not None:
        described = error_values(error, "")
        values["error"] = {"type": described["type"], "fields": described["fields"]}
    if record.exc_info:
        values["traceback"] = logging.Formatter().formatException(record.exc_info)
    return values


def _error(record: logging.LogRecord) -> BaseException | None:
    given: BaseException | None = getattr(record, "error", None)
    if given is None and record.exc_info:
        given = record.exc_info[1]
    quoted = record.args if isinstance(record.args, tuple) else ()
    return given or next((one for one in quoted if isinstance(one, EventStoreError)), None)


def log_end_of_thread(ended: threading.ExceptHookArgs) -> None:
    """Log the exception that a thread has ended with, as ``threading.excepthook``."""
    logging.getLogger("eventstore").error("a thread has ended: %r", ended.exc_value)
