"""The values of the journal, what may be one, and the emojis that tell how an entry went."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from eventstore.errors import EventStoreError, InvalidInputError, LimitExceededError
from eventstore.log.clock import to_microseconds
from eventstore.log.names import check_name
from projections.seams.checks import MAX_KEY_BYTES

if TYPE_CHECKING:
    from collections.abc import Mapping

MessageMode: TypeAlias = Literal["substring", "exact", "regex"]
MESSAGE_MODES: Final = ("substring", "exact", "regex")

MAX_ENTRY_ID_BYTES: Final = 200
"""The longest ``entry_id``, in bytes of UTF-8: it becomes part of an event's id."""

MAX_PATTERN_BYTES: Final = 2_000
"""The longest regular expression, in bytes of UTF-8."""

VARIATION_SELECTOR: Final = "\ufe0f"
"""Asks for the coloured form of an emoji; ``⚠`` and ``⚠️`` differ by it alone."""

OUTCOMES: Final[Mapping[str, str]] = {
    **dict.fromkeys("✅✔☑", "success"),
    **dict.fromkeys("⚠", "warn"),
    **dict.fromkeys("❌✖", "error"),
}
"""How an entry went, by its emoji, without a variation selector. Any other emoji counts in the
total alone."""


def outcome_of(emoji: str | None) -> str | None:
    """Return ``success``, ``warn`` or ``error``; ``None`` for an emoji that says none of them."""
    return OUTCOMES.get((emoji or "").strip().replace(VARIATION_SELECTOR, ""))


@dataclass(frozen=True, slots=True)
class ProjectRecord:
    """A project. ``id`` is the log's position at which it began: it never changes.

    A project that was deleted and is made again has another ``id``. Times are aware, UTC.
    """

    id: int
    name: str
    repo_root: str
    progress_log_path: str
    created_at: datetime
    updated_at: datetime


class ProjectMetrics(NamedTuple):
    """How many entries a project has, and how many of them each kind of emoji says."""

    total: int
    success: int
    warn: int
    error: int


Project: TypeAlias = "ProjectRecord | str"
"""What the methods take for a project: its record, or its name."""


class JournalChange(NamedTuple):
    """One logged change. ``value`` is ``None`` where ``key`` is removed.

    ==============  ====================  ==================================================
    ``kind``        ``key``               ``value``
    ==============  ====================  ==================================================
    ``project``     its name              ``name, repo_root, progress_log_path``; removed
                                          with all its data where it is ``None``
    ``entry``       the project's name    the entry, as reads return it
    ``doc_change``  the project's name    as it was recorded
    ``report_card``  the project's name   as it was recorded
    ``session``     the session's id      ``agent_id, session_id, metadata``; ended where it
                                          is ``None``
    ``assignment``  the agent's id        the assignment, as reads return it
    ==============  ====================  ==================================================

    ``at`` is when it was recorded (aware, UTC), ``by`` who wrote it, ``position`` its place
    in the log.
    """

    kind: str
    key: str
    value: dict[str, Any] | None
    position: int
    at: datetime
    by: str | None


class UnknownProjectError(EventStoreError, LookupError):
    """Something was to be written to a project that is not there (any more)."""

    def __init__(self, project: str) -> None:
        super().__init__(f"project {project!r} is not known: make it with upsert_project first")
        self.project = project


class EntryConflictError(EventStoreError):
    """Another entry has this ``entry_id``; ``fields`` are those that differ. Nothing was stored."""

    def __init__(self, entry_id: str, fields: tuple[str, ...]) -> None:
        super().__init__(
            f"entry {entry_id!r} is known with another {', '.join(fields)}: "
            "give a new entry a new id"
        )
        self.entry_id = entry_id
        self.fields = fields


class ChecksumError(InvalidInputError):
    """``raw_line`` is not what ``sha256`` was computed from; nothing was stored."""

    def __init__(self, entry_id: str, expected: str, actual: str) -> None:
        super().__init__(
            f"entry {entry_id!r}", f"its raw_line has the SHA-256 {actual}, not {expected:.80}"
        )
        self.entry_id = entry_id
        self.expected = expected
        self.actual = actual


class PatternError(InvalidInputError):
    """``message`` is no regular expression of RE2."""

    def __init__(self, pattern: str, reason: str) -> None:
        super().__init__(
            f"message {pattern!r:.80}",
            f"is no regular expression of RE2 ({reason}): it knows neither look-around nor "
            "back-references",
        )
        self.pattern = pattern


class PatternTimeoutError(EventStoreError, TimeoutError):
    """A search by regular expression took too long; ``seconds`` is the limit."""

    def __init__(self, pattern: str, seconds: float) -> None:
        super().__init__(
            f"message {pattern!r:.80}: not done after {seconds:g} s: ask for less (start, end, "
            "agents), use message_mode='substring', or give the journal more regex_seconds"
        )
        self.pattern = pattern
        self.seconds = seconds


def project_name(project: Project) -> str:
    """Return a project's name."""
    return project.name if isinstance(project, ProjectRecord) else project


def check_text(what: str, value: object) -> str:
    """Return any text that has a UTF-8; raise InvalidInputError for anything else."""
    if not isinstance(value, str):
        raise InvalidInputError(what, f"must be a text, not {value!r:.80}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidInputError(what, f"{value!r:.80} cannot be written as UTF-8") from error
    return value


def check_path(what: str, value: object) -> str:
    """Return a path as text, exactly as it was given."""
    return check_text(what, os.fspath(value) if isinstance(value, os.PathLike) else value)


def check_optional(what: str, value: object) -> str | None:
    """Return a text, or ``None`` where it is absent."""
    return None if value is None else check_text(what, value)


def check_short(what: str, value: object) -> str | None:
    """Return a text of up to MAX_KEY_BYTES, or ``None``: it is part of an index."""
    text = check_optional(what, value)
    if text is not None and (size := len(text.encode())) > MAX_KEY_BYTES:
        raise LimitExceededError(f"{what} {text[:40]!r}…, bytes", size, MAX_KEY_BYTES)
    return text


def check_entry_id(value: object) -> str:
    """Return an id without control characters, of a sensible length."""
    return check_name("entry_id", value, MAX_ENTRY_ID_BYTES)


def check_object(what: str, value: object) -> dict[str, Any] | None:
    """Return a JSON object, or ``None`` where it is absent; its values are checked when written."""
    if value is not None and not isinstance(value, dict):
        raise InvalidInputError(what, f"must be a JSON object, not {value!r:.80}")
    return value


def check_checksum(entry_id: str, raw_line: str, sha256: object) -> str:
    """Return the checksum in lower case if it is that of the line's UTF-8."""
    actual = hashlib.sha256(raw_line.encode()).hexdigest()
    expected = check_text("sha256", sha256)
    if expected.strip().lower() != actual:
        raise ChecksumError(entry_id, expected, actual)
    return actual


def check_pattern(value: str) -> str:
    """Return a regular expression that is not too long."""
    if (size := len(value.encode())) > MAX_PATTERN_BYTES:
        raise LimitExceededError("message, bytes of a regular expression", size, MAX_PATTERN_BYTES)
    return value


def read_moment(what: str, value: object) -> tuple[str, int]:
    """Return a moment as ISO 8601, just as it was given, and in microseconds since the epoch.

    Takes a datetime or a text. One without an offset is taken as UTC.
    """
    if isinstance(value, datetime):
        text, moment = value.isoformat(), value
    else:
        text = check_text(what, value)
        moment = _parse(what, text)
    return text, _microseconds(what, moment)


def read_boundary(what: str, value: object, *, end: bool) -> int:
    """Return the boundary of a range of time in microseconds; a mere date is that whole day."""
    if isinstance(value, date) and not isinstance(value, datetime):
        return _microseconds(what, _whole_day(value, end=end))
    if isinstance(value, str):
        try:
            day = date.fromisoformat(value.strip())
        except ValueError:
            pass
        else:
            return _microseconds(what, _whole_day(day, end=end))
    return read_moment(what, value)[1]


def _whole_day(day: date, *, end: bool) -> datetime:
    return datetime.combine(day, time.max if end else time.min, UTC)


def _parse(what: str, text: str) -> datetime:
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError as error:
        raise InvalidInputError(what, f"{text!r:.80} is no moment in ISO 8601") from error


def _microseconds(what: str, moment: datetime) -> int:
    try:
        return to_microseconds(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
    except OverflowError as error:
        raise InvalidInputError(what, f"{moment} is out of range") from error


def whole_number(what: str, value: object, *, least: int = 0) -> int:
    """Return a number that may be a limit, an offset or a position."""
    if type(value) is not int or not least <= value < 2**63:
        raise InvalidInputError(f"{what}={value!r:.40}", f"use a whole number from {least} on")
    return value
