"""The journal as tables, kept up to date by each append.

Times are microseconds since the epoch; free text is as :mod:`projections.journal.columns` says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import msgspec
from sqlalchemy import (
    BigInteger,
    Column,
    Index,
    Integer,
    MetaData,
    Table,
    bindparam,
    delete,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from projections.journal.columns import fold, from_column, meta_key, meta_value, to_column
from projections.journal.events import (
    ENTRY_INSERTED,
    PROJECTS,
    AssignmentData,
    DocChangeData,
    EntryData,
    ProjectData,
    ReportCardData,
    SessionData,
    read_event,
)
from projections.journal.model import outcome_of
from projections.seams.stream_keys import read_stream_key
from projections.tables.access_times import create_access_times
from projections.tables.columns import ByteOrder, ByteOrderText
from projections.tables.projection import TableProjection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Event

_tables = MetaData()

_Id: Final = BigInteger().with_variant(Integer, "sqlite")
"""On SQLite only ``INTEGER PRIMARY KEY`` is the row's own number."""

project_table: Final = Table(
    "journal_project",
    _tables,
    Column("id", _Id, primary_key=True, autoincrement=False),
    Column("name", ByteOrder, nullable=False, unique=True),
    Column("repo_root", ByteOrderText, nullable=False),
    Column("progress_log_path", ByteOrderText, nullable=False),
    Column("created_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("total", BigInteger, nullable=False),
    Column("success", BigInteger, nullable=False),
    Column("warn", BigInteger, nullable=False),
    Column("error", BigInteger, nullable=False),
)
"""The projects that are there, with the number of their entries."""

entry_table: Final = Table(
    "journal_entry",
    _tables,
    Column("position", _Id, primary_key=True, autoincrement=False),
    Column("project_id", BigInteger, nullable=False),
    Column("ts_us", BigInteger, nullable=False),
    Column("agent", ByteOrder),
    Column("emoji", ByteOrder),
    # What differs in case only is the same here: as Python folds it, on every database.
    Column("folded", ByteOrderText, nullable=False),
    Column("message", ByteOrderText, nullable=False),
    Column("entry_id", ByteOrder, nullable=False, unique=True),
    Column("ts", ByteOrder, nullable=False),
    Column("meta", ByteOrderText),
    Column("raw_line", ByteOrderText, nullable=False),
    # Each is in the order of the pages, and has what is counted without looking at a row.
    Index("journal_entry_order", "project_id", "ts_us", "position", "agent", "emoji"),
    Index("journal_entry_agent", "project_id", "agent", "ts_us", "position", "emoji"),
    Index("journal_entry_emoji", "project_id", "emoji", "ts_us", "position", "agent"),
)
"""The entries. ``meta`` is JSON; ``position`` is that of the entry's event."""

meta_table: Final = Table(
    "journal_meta",
    _tables,
    Column("project_id", BigInteger, primary_key=True, autoincrement=False),
    Column("key", ByteOrder, primary_key=True),
    Column("value", ByteOrder, primary_key=True),
    Column("ts_us", BigInteger, primary_key=True, autoincrement=False),
    Column("position", BigInteger, primary_key=True, autoincrement=False),
    Column("is_text", Integer, nullable=False),
    sqlite_with_rowid=False,
)
"""Each entry's metadata, key by key: see :func:`~projections.journal.columns.meta_value`."""

document_table: Final = Table(
    "journal_document",
    _tables,
    Column("position", _Id, primary_key=True, autoincrement=False),
    Column("project_id", BigInteger, nullable=False),
    Column("kind", ByteOrder, nullable=False),
    Column("at_us", BigInteger, nullable=False),
    Column("json", ByteOrderText, nullable=False),
    Index("journal_document_order", "project_id", "kind", "position"),
)
"""Changes of documents and report cards: ``doc_change`` and ``report_card``, as JSON."""

session_table: Final = Table(
    "journal_session",
    _tables,
    Column("session_id", ByteOrder, primary_key=True),
    Column("agent_id", ByteOrder, nullable=False),
    Column("metadata", ByteOrderText, nullable=False),
    Column("started_us", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("ended_us", BigInteger),
    Column("first", BigInteger, nullable=False),
    Column("position", BigInteger, nullable=False),
)
"""The agents' sessions. When each was last heard of is in ``touched``, beside the log."""

assignment_table: Final = Table(
    "journal_assignment",
    _tables,
    Column("agent_id", ByteOrder, primary_key=True),
    Column("project_name", ByteOrder, index=True),
    Column("version", BigInteger, nullable=False),
    Column("updated_us", BigInteger, nullable=False),
    Column("updated_by", ByteOrderText),
    Column("session_id", ByteOrderText),
    Column("position", BigInteger, nullable=False),
)
"""What each agent works on."""


class JournalTables(TableProjection):
    """The journal's tables, as the log says; see :class:`~projections.journal.Journal`.

    ``EventStore.open(url, inline=[JournalTables()])`` keeps them where the log is. An event that
    the journal did not write, or of a project that is not there, is passed over.
    """

    name = "journal"
    metadata: ClassVar[MetaData] = _tables
    takes_redacted = True

    def setup(self, connection: Connection) -> None:
        """Create the tables, and the one of heartbeats beside them."""
        super().setup(connection)
        create_access_times(connection)

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event."""
        if (found := read_event(event)) is None:
            return
        kind, key, data = found
        if data is None:
            _ENDS[kind](connection, event, key)
        else:
            _HANDLERS[type(data)](connection, event, key, data)

    def group(self, event: Event) -> str | None:
        """Return the project that an event inserts an entry into, as its stream has it."""
        if event.type != ENTRY_INSERTED or not event.stream.startswith(PROJECTS):
            return None
        return event.stream.removeprefix(PROJECTS)

    def handle_group(self, connection: Connection, events: Sequence[Event]) -> None:
        """Insert entries of one project together."""
        found = [(event, read_event(event)) for event in events]
        entries = [(event, read[2]) for event, read in found if read is not None]
        if entries:
            name = events[0].stream.removeprefix(PROJECTS)
            _insert_entries(connection, read_stream_key(name), entries)

    def erase(self, connection: Connection, position: int, stream: str) -> None:
        """Take an entry or a document out; where rows were replaced, all is computed anew."""
        entry, document, meta = entry_table.c, document_table.c, meta_table.c
        row = connection.execute(
            delete(entry_table)
            .where(entry.position == position)
            .returning(entry.project_id, entry.emoji, entry.meta)
        ).first()
        if row is not None:
            name = read_stream_key(stream.removeprefix(PROJECTS))
            _count(connection, name, [row.emoji and from_column(row.emoji)], by=-1)
            keys = [meta_key(key) for key in msgspec.json.decode(row.meta or "{}")]
            of_entry = (meta.project_id == row.project_id, meta.position == position)
            connection.execute(delete(meta_table).where(meta.key.in_(keys), *of_entry))
            return
        connection.execute(delete(document_table).where(document.position == position))
        project, session, assignment = project_table.c, session_table.c, assignment_table.c
        for at in (
            or_(project.id == position, project.position == position),
            or_(session.first == position, session.position == position),
            assignment.position == position,
        ):
            if connection.execute(select(1).where(at)).first() is not None:
                self.reset(connection)
                return


def _insert(connection: Connection, table: Table) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _set_project(connection: Connection, event: Event, name: str, data: ProjectData) -> None:
    new = {
        "repo_root": to_column(data.repo_root),
        "progress_log_path": to_column(data.progress_log_path),
        "updated_us": event.recorded_us,
        "position": event.position,
    }
    counts = dict.fromkeys(_COUNTS, 0)
    connection.execute(
        _insert(connection, project_table)
        .values(
            id=event.position,
            name=to_column(name),
            created_us=event.recorded_us,
            **new,
            **counts,
        )
        .on_conflict_do_update(index_elements=["name"], set_=new)
    )


def _delete_project(connection: Connection, _: Event, name: str) -> None:
    c = project_table.c
    project_id = connection.execute(
        delete(project_table).where(c.name == to_column(name)).returning(c.id)
    ).scalar_one_or_none()
    for table in (meta_table, entry_table, document_table):
        connection.execute(delete(table).where(table.c.project_id == project_id))
    assigned = assignment_table.c.project_name == to_column(name)
    connection.execute(delete(assignment_table).where(assigned))


_FIND_PROJECT: Final = select(project_table.c.id).where(project_table.c.name == bindparam("key"))

# Made once: a statement that is made for each entry costs several times what it does.
_INSERT_ENTRY: Final = {
    name: dialect.insert(entry_table)
    .on_conflict_do_nothing(index_elements=["entry_id"])
    .returning(entry_table.c.position)
    for name, dialect in {"sqlite": sqlite, "postgresql": postgresql}.items()
}

_COUNTS: Final = ("total", "success", "warn", "error")
_COUNT: Final = (
    update(project_table)
    .where(project_table.c.name == bindparam("key"))
    .values({name: project_table.c[name] + bindparam(f"more_{name}") for name in _COUNTS})
)
_INSERT_META: Final = insert(meta_table)


def _find_project(connection: Connection, name: str) -> int | None:
    found: int | None = connection.execute(_FIND_PROJECT, {"key": to_column(name)}).scalar()
    return found


def _insert_entries(
    connection: Connection, name: str, entries: Sequence[tuple[Event, EntryData]]
) -> None:
    """Insert entries of one project; those whose id is known are passed over."""
    if (project_id := _find_project(connection, name)) is None:
        return
    rows = [_entry_row(event.position, project_id, data) for event, data in entries]
    done = connection.execute(_INSERT_ENTRY[connection.dialect.name], rows)
    fresh = set(done.scalars())
    new = [(row, data) for row, (_, data) in zip(rows, entries, strict=True)]
    new = [(row, data) for row, data in new if row["position"] in fresh]
    _count(connection, name, [data.emoji for _, data in new])
    if found := [one for row, data in new for one in _meta_rows(row, data.meta or {})]:
        connection.execute(_INSERT_META, found)


def _insert_entry(connection: Connection, event: Event, name: str, data: EntryData) -> None:
    _insert_entries(connection, name, [(event, data)])


def _entry_row(position: int, project_id: int, data: EntryData) -> dict[str, Any]:
    return {
        "position": position,
        "project_id": project_id,
        "ts_us": data.ts_us,
        "agent": None if data.agent is None else to_column(data.agent),
        "emoji": None if data.emoji is None else to_column(data.emoji),
        "folded": fold(data.message),
        "message": to_column(data.message),
        "entry_id": to_column(data.entry_id),
        "ts": to_column(data.ts),
        "meta": None if data.meta is None else _json(data.meta),
        "raw_line": to_column(data.raw_line),
    }


def _meta_rows(row: Mapping[str, Any], meta: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    shared = {name: row[name] for name in ("project_id", "ts_us", "position")}
    for key, value in meta.items():
        text, is_text = meta_value(value)
        yield {**shared, "key": meta_key(key), "value": text, "is_text": is_text}


def _count(connection: Connection, name: str, emojis: Sequence[str | None], *, by: int = 1) -> None:
    """Count entries of a project, or so many less."""
    more = dict.fromkeys((f"more_{one}" for one in _COUNTS), 0)
    more["more_total"] = len(emojis) * by
    for outcome in filter(None, map(outcome_of, emojis)):
        more[f"more_{outcome}"] += by
    if emojis:
        connection.execute(_COUNT, {"key": to_column(name), **more})


def _insert_document(
    connection: Connection, event: Event, name: str, data: DocChangeData | ReportCardData
) -> None:
    if (project_id := _find_project(connection, name)) is not None:
        connection.execute(
            insert(document_table).values(
                position=event.position,
                project_id=project_id,
                kind="doc_change" if isinstance(data, DocChangeData) else "report_card",
                at_us=event.recorded_us,
                json=_json(data),
            )
        )


def _set_session(connection: Connection, event: Event, session_id: str, data: SessionData) -> None:
    new = {
        "agent_id": to_column(data.agent_id),
        "metadata": _json(data.metadata),
        "updated_us": event.recorded_us,
        "ended_us": None,
        "position": event.position,
    }
    connection.execute(
        _insert(connection, session_table)
        .values(
            session_id=to_column(session_id),
            started_us=event.recorded_us,
            first=event.position,
            **new,
        )
        .on_conflict_do_update(index_elements=["session_id"], set_=new)
    )


def _end_session(connection: Connection, event: Event, session_id: str) -> None:
    c = session_table.c
    connection.execute(
        update(session_table)
        .where(c.session_id == to_column(session_id), c.ended_us.is_(None))
        .values(ended_us=event.recorded_us)
    )


def _assign(connection: Connection, event: Event, agent_id: str, data: AssignmentData) -> None:
    new = {
        "project_name": None if data.project_name is None else to_column(data.project_name),
        "version": event.version,
        "updated_us": event.recorded_us,
        "updated_by": None if data.updated_by is None else to_column(data.updated_by),
        "session_id": None if data.session_id is None else to_column(data.session_id),
        "position": event.position,
    }
    connection.execute(
        _insert(connection, assignment_table)
        .values(agent_id=to_column(agent_id), **new)
        .on_conflict_do_update(index_elements=["agent_id"], set_=new)
    )


_HANDLERS: Final[dict[type, Callable[[Connection, Event, str, Any], None]]] = {
    ProjectData: _set_project,
    EntryData: _insert_entry,
    DocChangeData: _insert_document,
    ReportCardData: _insert_document,
    SessionData: _set_session,
    AssignmentData: _assign,
}

_ENDS: Final[dict[str, Callable[[Connection, Event, str], None]]] = {
    "project": _delete_project,
    "session": _end_session,
}
