"""What trimming has to keep of the journal.

An entry, a change of a document and a report card are rows for as long as their project is there,
so of a project nothing goes but entries that were inserted before. What goes are projects that were
deleted, and what sessions and assignments were before.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any

from eventstore.archive.keepers import serving
from projections.journal.events import (
    JOURNAL,
    AssignmentData,
    EntryData,
    ProjectData,
    SessionData,
    read_event,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from eventstore.log.events import Event


@serving("journal")
def keep_journal(events: Iterable[Event]) -> Iterable[int]:
    """Choose the events of the journal that must stay; for ``store.trim``."""
    needed = _Needed()
    for event in events:
        if event.stream.startswith(JOURNAL):
            needed.add(event)
    return needed.positions()


class _Session:
    def __init__(self, first: int) -> None:
        self.first = self.last = first
        self.end: int | None = None


class _Needed:
    """The events that the journal's tables are made of, as :class:`JournalTables` makes them."""

    def __init__(self) -> None:
        self._projects: dict[str, list[int]] = {}
        self._entries: dict[str, set[str]] = {}
        """The ids of each project's entries."""
        self._known: set[str] = set()
        """The ids of all entries: each is inserted once, into the first project."""
        self._sessions: dict[str, _Session] = {}
        self._assignments: dict[str, tuple[int, str | None]] = {}
        # The log keeps their redactions, and projections look for what those are about.
        self._redacted: list[int] = []

    def add(self, event: Event) -> None:
        """Take in an event of the journal."""
        if event.redacted:
            self._redacted.append(event.position)
        if (found := read_event(event)) is None:
            return
        kind, key, data = found
        if data is None:
            self._end(kind, key, event.position)
        elif isinstance(data, SessionData):
            session = self._sessions.setdefault(key, _Session(event.position))
            session.last, session.end = event.position, None
        elif isinstance(data, AssignmentData):
            self._assignments[key] = event.position, data.project_name
        else:
            self._add_to_project(event.position, key, data)

    def _add_to_project(self, position: int, name: str, data: Any) -> None:
        if isinstance(data, ProjectData):
            self._projects.setdefault(name, [])
        elif name not in self._projects:
            return
        if isinstance(data, EntryData):
            if data.entry_id in self._known:
                return
            self._known.add(data.entry_id)
            self._entries.setdefault(name, set()).add(data.entry_id)
        self._projects[name].append(position)

    def _end(self, kind: str, key: str, position: int) -> None:
        if kind == "session":
            session = self._sessions.get(key)
            if session is not None and session.end is None:
                session.end = position
            return
        self._projects.pop(key, None)
        self._known -= self._entries.pop(key, set())
        self._assignments = {
            agent: found for agent, found in self._assignments.items() if found[1] != key
        }

    def positions(self) -> set[int]:
        """Return the positions to keep."""
        kept = set(chain.from_iterable(self._projects.values()))
        for session in self._sessions.values():
            kept |= {session.first, session.last}
            if session.end is not None:
                kept.add(session.end)
        return kept.union((position for position, _ in self._assignments.values()), self._redacted)
