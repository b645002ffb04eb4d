"""The events of the journal: their names, their data, and how they are decoded.

=======================  =======================  ============================================
type                     stream                   data
=======================  =======================  ============================================
``ProjectSet``           ``journal/project:NAME`` ``name, repo_root, progress_log_path``
``ProjectDeleted``       ``journal/project:NAME`` ``name``
``EntryInserted``        ``journal/project:NAME`` ``entry_id, ts, emoji, agent, message, meta,
                                                  raw_line, sha256``
``DocChangeRecorded``    ``journal/project:NAME`` ``doc, section, action, agent, metadata,
                                                  sha_before, sha_after``
``ReportCardRecorded``   ``journal/project:NAME`` ``file_path, agent_name, stage,
                                                  overall_grade, performance_level, metadata``
``SessionSet``           ``journal/session:ID``   ``agent_id, session_id, metadata``
``SessionEnded``         ``journal/session:ID``   ``session_id``
``AgentProjectSet``      ``journal/agent:ID``     ``agent_id, project_name, session_id,
                                                  updated_by``
=======================  =======================  ============================================

Names and ids are encoded as :func:`~projections.seams.stream_keys.stream_key` says. The version
of an assignment is that of its agent's stream. Any other event is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

import msgspec

from eventstore.errors import EventStoreError
from projections.journal.checks import read_moment
from projections.journal.model import JournalChange
from projections.seams.changes import writer_of
from projections.seams.checks import MAX_KEY_BYTES
from projections.seams.stream_keys import read_stream_key, stream_key

if TYPE_CHECKING:
    from eventstore import Event

PROJECT_SET: Final = "ProjectSet"
PROJECT_DELETED: Final = "ProjectDeleted"
ENTRY_INSERTED: Final = "EntryInserted"
DOC_CHANGE_RECORDED: Final = "DocChangeRecorded"
REPORT_CARD_RECORDED: Final = "ReportCardRecorded"
SESSION_SET: Final = "SessionSet"
SESSION_ENDED: Final = "SessionEnded"
AGENT_PROJECT_SET: Final = "AgentProjectSet"
ENTRY_META_SET: Final = "EntryMetaSet"
PROJECT_DOCS_SET: Final = "ProjectDocsSet"

JOURNAL: Final = "journal/"
"""One category, so that one subscription follows all of the journal, in order."""
PROJECTS: Final = f"{JOURNAL}project:"
SESSIONS: Final = f"{JOURNAL}session:"
AGENTS: Final = f"{JOURNAL}agent:"


def project_stream(name: object) -> str:
    """Return the stream of a project; raise InvalidInputError for what cannot be a name."""
    return PROJECTS + stream_key(name, "project")


def session_stream(session_id: object) -> str:
    """Return the stream of a session; raise InvalidInputError for what cannot be an id."""
    return SESSIONS + stream_key(session_id, "session_id")


def agent_stream(agent_id: object) -> str:
    """Return the stream of an agent; raise InvalidInputError for what cannot be an id."""
    return AGENTS + stream_key(agent_id, "agent_id")


def entry_event_id(entry_id: str, after: int = 0) -> str:
    """Return the id of the event that inserts an entry, so that it is inserted once.

    ``after`` is the position of an earlier event for the same entry, which was deleted with its
    project or redacted since.
    """
    return f"journal-entry@{after}:{entry_id}" if after else f"journal-entry:{entry_id}"


Short: TypeAlias = Annotated[str, msgspec.Meta(max_length=MAX_KEY_BYTES)]
"""A text in an index; PostgreSQL's indexes take up to 2,704 bytes."""


class ProjectData(msgspec.Struct):
    """Data of ``ProjectSet``."""

    name: str
    repo_root: str
    progress_log_path: str
    docs_json: Any = None
    bridge_id: str | None = None
    bridge_managed: bool = False


class ProjectDocsData(msgspec.Struct):
    """Data of ``ProjectDocsSet``."""

    docs_json: Any


class EntryMetaData(msgspec.Struct):
    """Data of ``EntryMetaSet``."""

    entry_id: Short
    meta: dict[str, Any]


class EntryData(msgspec.Struct):
    """Data of ``EntryInserted``."""

    entry_id: Short
    ts: Short
    emoji: Short | None
    agent: Short | None
    message: str
    meta: dict[str, Any] | None
    raw_line: str
    priority: Any = None
    category: Any = None
    tags: Any = None
    confidence: Any = None
    log_type: Any = None

    @property
    def more(self) -> dict[str, Any] | None:
        """The newer fields; ``None`` where none of them was given."""
        found = {name: getattr(self, name) for name in MORE_FIELDS}
        return None if all(value is None for value in found.values()) else found

    @property
    def ts_us(self) -> int:
        """The entry's time in microseconds since the epoch."""
        return read_moment("ts", self.ts)[1]

    def to_dict(self) -> dict[str, Any]:
        """Return the entry as reads return it."""
        entry = {"id": self.entry_id} | {name: getattr(self, name) for name in ENTRY_FIELDS}
        return entry | (self.more or {})


ENTRY_FIELDS: Final = ("ts", "emoji", "agent", "message", "meta", "raw_line")
"""The fields of an entry besides its id."""

MORE_FIELDS: Final = ("priority", "category", "tags", "confidence", "log_type")
"""The fields that an entry has where one of them was given."""


class DocChangeData(msgspec.Struct):
    """Data of ``DocChangeRecorded``."""

    doc: str
    section: str | None
    action: str
    agent: str | None
    metadata: dict[str, Any] | None
    sha_before: str | None
    sha_after: str | None


class ReportCardData(msgspec.Struct):
    """Data of ``ReportCardRecorded``."""

    file_path: str
    agent_name: str
    stage: str | None
    overall_grade: Any
    performance_level: str | None
    metadata: dict[str, Any] | None


class SessionData(msgspec.Struct):
    """Data of ``SessionSet``."""

    agent_id: str
    session_id: str
    metadata: dict[str, Any] | None


class AssignmentData(msgspec.Struct):
    """Data of ``AgentProjectSet``."""

    agent_id: str
    project_name: Short | None
    session_id: str | None
    updated_by: str | None

    def to_dict(self, version: int, updated_at: str) -> dict[str, Any]:
        """Return the assignment as reads return it."""
        return {
            "agent_id": self.agent_id,
            "project_name": self.project_name,
            "version": version,
            "updated_at": updated_at,
            "updated_by": self.updated_by,
            "session_id": self.session_id,
        }


_KINDS: Final[dict[str, tuple[str, str, type[msgspec.Struct] | None]]] = {
    PROJECT_SET: (PROJECTS, "project", ProjectData),
    PROJECT_DELETED: (PROJECTS, "project", None),
    ENTRY_INSERTED: (PROJECTS, "entry", EntryData),
    ENTRY_META_SET: (PROJECTS, "entry_meta", EntryMetaData),
    PROJECT_DOCS_SET: (PROJECTS, "project_docs", ProjectDocsData),
    DOC_CHANGE_RECORDED: (PROJECTS, "doc_change", DocChangeData),
    REPORT_CARD_RECORDED: (PROJECTS, "report_card", ReportCardData),
    SESSION_SET: (SESSIONS, "session", SessionData),
    SESSION_ENDED: (SESSIONS, "session", None),
    AGENT_PROJECT_SET: (AGENTS, "assignment", AssignmentData),
}
"""By event type: prefix of the stream, kind of change, data. A removal has no data."""


def read_event(event: Event) -> tuple[str, str, Any] | None:
    """Return (kind, key, data) of an event of the journal; ``None`` for any other.

    ``data`` is one of the structures above, or ``None`` where the event ends what ``key`` names;
    such an event needs no content, so its redaction changes nothing.
    """
    prefix, kind, shape = _KINDS.get(event.type, ("", "", None))
    if not kind or not event.stream.startswith(prefix):
        return None
    key = read_stream_key(event.stream.removeprefix(prefix))
    if shape is None:
        return kind, key, None
    if event.redacted:
        return None
    try:
        data = msgspec.convert(event.data, shape)
        if isinstance(data, EntryData):
            _ = data.ts_us
    except (msgspec.ValidationError, EventStoreError):
        return None
    return kind, key, data


def read_change(event: Event) -> JournalChange | None:
    """Return the change that an event makes; ``None`` where it makes none."""
    if (found := read_event(event)) is None:
        return None
    kind, key, data = found
    value: dict[str, Any] | None
    if isinstance(data, EntryData):
        value = data.to_dict()
    elif isinstance(data, AssignmentData):
        value = data.to_dict(event.version, event.recorded_at.isoformat())
    elif isinstance(data, ProjectData):
        given = data != ProjectData(data.name, data.repo_root, data.progress_log_path)
        names = None if given else ("name", "repo_root", "progress_log_path")
        value = {name: getattr(data, name) for name in names or data.__struct_fields__}
    else:
        value = None if data is None else msgspec.structs.asdict(data)
    return JournalChange(kind, key, value, event.position, event.recorded_at, writer_of(event))
