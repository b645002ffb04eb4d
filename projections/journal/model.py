"""The values and errors of the journal, and the emojis that say how an entry went."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, Protocol, TypeAlias

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
    ``docs_json`` is any JSON value, ``bridge_id`` and ``bridge_managed`` say what manages it.
    """

    id: int
    name: str
    repo_root: str
    progress_log_path: str
    created_at: datetime
    updated_at: datetime
    docs_json: Any = field(default=None, repr=False)
    bridge_id: str | None = field(default=None, repr=False)
    bridge_managed: bool = field(default=False, repr=False)

    @property
    def repo_id(self) -> str:
        """SHA-256, in hex, of the absolute path of ``repo_root``."""
        return sha256(absolute_root(self.repo_root).encode(errors="replace")).hexdigest()

    @property
    def project_key(self) -> str:
        """A name for the project that differs by its repository too."""
        text = f"{absolute_root(self.repo_root)}::{self.name.strip().lower()}"
        return f"pk_{sha256(text.encode(errors='replace')).hexdigest()}"


def absolute_root(root: str | os.PathLike[str]) -> str:
    """Return a repository's path made absolute; links are not followed."""
    return os.path.abspath(os.path.expanduser(root))  # noqa: PTH100, PTH111 - of any text


class ProjectMetrics(NamedTuple):
    """The numbers of a project's entries: all, and by the outcome that their emojis say."""

    total: int
    success: int
    warn: int
    error: int


class Named(Protocol):
    """Anything that has a name: a project's record of ours, or of the caller's own class."""

    @property
    def name(self) -> str:
        """The project's name."""


Project: TypeAlias = "Named | str"
"""A project as methods take it: what has its name, or the name."""


class JournalChange(NamedTuple):
    """One logged change. ``value`` is ``None`` where ``key`` is removed.

    ==============  ====================  ==================================================
    ``kind``        ``key``               ``value``
    ==============  ====================  ==================================================
    ``project``     its name              ``name, repo_root, progress_log_path``, with
                                          ``docs_json, bridge_id, bridge_managed`` where
                                          they were given; removed with all its data where
                                          it is ``None``
    ``project_docs``  the project's name  ``docs_json``, set anew
    ``entry_meta``  the project's name    ``entry_id, meta``, set anew
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
        self.entry_id, self.fields = entry_id, fields


class ChecksumError(InvalidInputError):
    """``raw_line`` is not what ``sha256`` was computed from; nothing was stored."""

    def __init__(self, entry_id: str, expected: str, actual: str) -> None:
        super().__init__(
            f"entry {entry_id!r}", f"its raw_line has the SHA-256 {actual}, not {expected:.80}"
        )
        self.entry_id, self.expected, self.actual = entry_id, expected, actual


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
        self.pattern, self.seconds = pattern, seconds


def project_name(project: Project) -> str:
    """Return a project's name; raise InvalidInputError for what has none."""
    name: object = project if isinstance(project, str) else getattr(project, "name", None)
    if isinstance(name, str):
        return name
    raise InvalidInputError("project", f"{project!r:.80} has no name: give a name or a record")
