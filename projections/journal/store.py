"""The journal: projects, and the entries that agents write about them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from projections.journal._agents import AgentStore
from projections.journal._entries import EntryStore
from projections.journal._projects import ProjectStore
from projections.journal._single_entries import SingleEntryStore
from projections.journal.events import JOURNAL, project_stream, read_change
from projections.journal.model import JournalChange, Project, project_name
from projections.journal.tables import JournalTables

if TYPE_CHECKING:
    from eventstore import Cursor, EventStore
    from projections.seams.changes import Changes

REGEX_SECONDS: Final = 20.0
"""Time limit of one search by regular expression."""


class Journal(SingleEntryStore, EntryStore, ProjectStore, AgentStore):
    """Progress logs of agents, project by project, on an event log.

    ``log`` is a URL, opened by :meth:`setup` and closed by :meth:`close`, or an open store that
    has :class:`~projections.journal.JournalTables` inline. ``by`` names the writer.
    ``regex_seconds`` is the time limit of one search by regular expression.

    Every write is an event, durable when the method returns and visible to every read that begins
    then. Reads append nothing, and what they return is a copy. A project is given by its record or
    its name; reading an unknown one finds nothing, writing to it raises UnknownProjectError. Names
    and ids are any text of up to 255 bytes, an ``entry_id`` is of up to 200 without control
    characters; anything else raises InvalidInputError before it is written.

    *Newest first* means by ``ts``, and by the order of insertion where that is equal. Pages that
    are read one after the other (``offset`` grows by ``limit``, or ``page`` by 1) show the entries
    that existed at the first of them: they neither skip nor repeat while entries are inserted.
    Each task reads pages of its own; give ``as_of``, a :meth:`position`, where several tasks or
    processes share the pages of one query.
    """

    def __init__(
        self,
        log: EventStore | str,
        *,
        by: str | None = None,
        regex_seconds: float = REGEX_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(log, JournalTables(), by=by, **options)
        self._regex_seconds = regex_seconds

    async def setup(self) -> None:
        """Open the log and create its missing tables; a second call does nothing."""
        await self.open()

    async def position(self) -> int:
        """Return the position of the log's head, for ``as_of``."""
        return (await self.log.head()).position

    def subscribe_changes(
        self, project: Project | None = None, *, after: int | Cursor | None = None
    ) -> Changes[JournalChange]:
        """Follow the changes of one project, or of the whole journal: one item per change.

        Starts after what this journal read or wrote last, or after a position or cursor; 0 is
        the beginning. Heartbeats are no changes.
        """
        return self._follow(read_change, streams=_streams(project), after=after)

    def history(self, project: Project | None = None) -> Changes[JournalChange]:
        """Iterate over the same changes from the first to the newest, and end."""
        return self._follow(read_change, streams=_streams(project), after=0, follow=False)


def _streams(project: Project | None) -> str:
    return JOURNAL if project is None else project_stream(project_name(project))
