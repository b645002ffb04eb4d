"""Searching messages by regular expression: RE2, which takes linear time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import ConfigError, LimitExceededError
from projections.journal.columns import from_column
from projections.journal.model import PatternError, PatternTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

MAX_PATTERN_BYTES: Final = 2_000
"""The longest regular expression, in bytes of UTF-8."""

CHECK_EVERY: Final = 256
"""Messages between two checks of the time limit; RE2 takes some microseconds for each."""


def _import_re2() -> Any:
    """Return the module; raise ConfigError where the extra that brings it is not installed."""
    try:
        import re2  # noqa: PLC0415 - optional
    except ImportError as error:
        raise ConfigError(
            f"searching a journal by a pattern needs RE2: pip install 'ruletide[journal]' ({error})"
        ) from error
    return re2


def compile_pattern(pattern: str, *, case_sensitive: bool) -> Callable[[str], Any]:
    """Return RE2's search for a pattern; raise PatternError where it is none."""
    re2 = _import_re2()
    options = re2.Options()
    options.case_sensitive = case_sensitive
    options.never_capture = True
    # It would write to stderr what is raised here.
    options.log_errors = False
    try:
        compiled: Callable[[str], Any] = re2.compile(_checked(pattern), options).search
    except re2.error as error:
        reason = error.args[0] if error.args else error
        text = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise PatternError(pattern, text) from error
    return compiled


def matching(
    pattern: str, rows: Iterable[Any], seconds: float, *, case_sensitive: bool
) -> Iterator[tuple[int, int]]:
    """Yield the keys of the rows whose message matches a regular expression.

    ``rows`` are ``(ts_us, position, message)``, the message as its column has it. Raises
    PatternTimeoutError after ``seconds``: RE2 takes a time in proportion to the text for any
    pattern, so it is enough to check the time between messages.
    """
    found = compile_pattern(pattern, case_sensitive=case_sensitive)
    end = time.monotonic() + seconds
    for number, (ts_us, position, message) in enumerate(rows):
        if number % CHECK_EVERY == 0 and time.monotonic() > end:
            raise PatternTimeoutError(pattern, seconds)
        if found(from_column(message)) is not None:
            yield ts_us, position


def _checked(value: str) -> str:
    """Return the pattern; raise LimitExceededError for one that is too long."""
    if (size := len(value.encode())) > MAX_PATTERN_BYTES:
        raise LimitExceededError("message, bytes of a regular expression", size, MAX_PATTERN_BYTES)
    return value
