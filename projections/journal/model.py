"""The values and errors of the journal, and the emojis that say how an entry went."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, TypeAlias

from eventstore.errors import EventStoreError, InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

MessageMode: TypeAlias = Literal["substring", "exact", "regex"]
MESSAGE_MODES: Final = ("substring", "exact", "regex")


VARIATION_SELECTOR: Final = "\ufe0f"
"""Selects the coloured form of an emoji; ``⚠`` and ``⚠️`` differ by it alone."""

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
    """The numbers of a project's entries: all, and by the outcome that their emojis say."""

    total: int
    success: int
    warn: int
    error: int


Project: TypeAlias = "ProjectRecord | str"
"""A project as methods take it: its record, or its name."""


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
    """A write names a project that does not exist, or was deleted."""

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
