"""The journal as tables, which each append updates in its own transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from sqlalchemy import MetaData, delete, or_, select

from projections.journal.events import (
    ENTRY_INSERTED,
    PROJECTS,
    AssignmentData,
    DocChangeData,
    EntryData,
    EntryMetaData,
    ProjectData,
    ProjectDocsData,
    ReportCardData,
    SessionData,
    read_event,
)
from projections.journal.tables.agents import end_session, set_session
from projections.journal.tables.entries import (
    delete_entry,
    insert_entries,
    set_meta,
)
from projections.journal.tables.projects import (
    delete_project,
    find_project_id,
    insert_document,
    more_of,
    set_docs,
    set_project,
)
from projections.journal.tables.schema import (
    ENTRY_META,
    assignment_table,
    document_table,
    journal_tables,
    project_table,
    session_table,
)
from projections.journal.tables.stated import assign, insert_entry
from projections.seams.stream_keys import read_stream_key
from projections.tables.access_times import ProjectionWithAccessTimes
from projections.tables.statements import MOST_STATED, run_queries

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Connection

    from eventstore.log.events import Event
    from eventstore.storage.driver import Query


class JournalTables(ProjectionWithAccessTimes):
    """The journal's tables, as the log says; see :class:`~projections.journal.Journal`.

    ``EventStore.open(url, inline=[JournalTables()])`` keeps them where the log is. An event that
    the journal did not write, or of an unknown project, is ignored.
    """

    name = "journal"
    metadata: ClassVar[MetaData] = journal_tables

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply one event."""
        if (found := read_event(event)) is None:
            return
        kind, key, data = found
        if data is None:
            _ENDS[kind](connection, event, key)
        elif (stated := _STATED.get(type(data))) is not None:
            run_queries(connection, stated(connection.dialect.name, event, key, data))
        else:
            _HANDLERS[type(data)](connection, event, key, data)

    def statements(self, dialect: str, events: Sequence[Event]) -> list[Query] | None:
        """Return what :meth:`handle` executes; ``None`` for many events and for rarer kinds."""
        if len(events) > MOST_STATED:
            return None
        queries: list[Query] = []
        for event in events:
            if (found := read_event(event)) is None:
                continue
            _, key, data = found
            if data is None or type(data) not in _STATED:
                return None
            queries += _STATED[type(data)](dialect, event, key, data)
        return queries

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
            insert_entries(connection, read_stream_key(name), entries)

    def erase(self, connection: Connection, position: int, stream: str) -> None:
        """Take an entry or a document out; empty the projection where rows were replaced."""
        if delete_entry(connection, position, read_stream_key(stream.removeprefix(PROJECTS))):
            return
        if self._is_spread(connection, position, stream):
            self.reset(connection)
            return
        connection.execute(delete(document_table).where(document_table.c.position == position))
        project, session, assignment = project_table.c, session_table.c, assignment_table.c
        for at in (
            or_(project.id == position, project.position == position),
            or_(session.first == position, session.position == position),
            assignment.position == position,
        ):
            if connection.execute(select(1).where(at)).first() is not None:
                self.reset(connection)
                return

    def _is_spread(self, connection: Connection, position: int, stream: str) -> bool:
        """Whether what an event says is also in rows of others: metadata set anew, documents."""
        c = document_table.c
        set_meta = (c.position == position) & (c.kind == ENTRY_META)
        name = read_stream_key(stream.removeprefix(PROJECTS))
        project_id = find_project_id(connection, name) if stream.startswith(PROJECTS) else None
        found = select(1).where(set_meta | more_of(project_id))
        return connection.execute(found).first() is not None


_HANDLERS: Final[dict[type, Callable[[Connection, Event, str, Any], None]]] = {
    ProjectData: set_project,
    EntryMetaData: set_meta,
    ProjectDocsData: set_docs,
    DocChangeData: insert_document,
    ReportCardData: insert_document,
    SessionData: set_session,
}

_STATED: Final[dict[type, Callable[[str, Event, str, Any], list[Query]]]] = {
    EntryData: insert_entry,
    AssignmentData: assign,
}
"""What is SQL that is known beforehand, by the data of its event."""

_ENDS: Final[dict[str, Callable[[Connection, Event, str], None]]] = {
    "project": delete_project,
    "session": end_session,
}
