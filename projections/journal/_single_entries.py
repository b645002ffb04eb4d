"""The journal's single entries: inserting one, finding it by its id, setting its metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.errors import DuplicateEventError
from projections.journal.checks import (
    check_checksum,
    check_entry_id,
    check_more,
    check_short,
    read_moment,
)
from projections.journal.events import (
    ENTRY_FIELDS,
    ENTRY_INSERTED,
    ENTRY_META_SET,
    MORE_FIELDS,
    entry_event_id,
    project_stream,
)
from projections.journal.model import (
    EntryConflictError,
    Project,
    UnknownProjectError,
    project_name,
)
from projections.journal.queries.entries import (
    find_entry,
    find_position,
    found_entry,
)
from projections.journal.queries.projects import find_project, project_of
from projections.seams.checks import check_text, copy_object, copy_optional_object
from projections.seams.projected_store import ProjectedStore

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

_name_of = project_name  # An argument of an interface has the same name.


class SingleEntryStore(ProjectedStore):
    """Single entries of :class:`~projections.journal.Journal`."""

    async def insert_entry(
        self,
        *,
        entry_id: str,
        project: Project,
        ts: datetime | str,
        emoji: str | None,
        agent: str | None,
        message: str,
        meta: Mapping[str, Any] | None,
        raw_line: str,
        sha256: str,
        priority: str | None = None,
        category: str | None = None,
        tags: Iterable[str] | str | None = None,
        confidence: float | None = None,
        log_type: str | None = None,
    ) -> None:
        """Insert an entry; inserting the same one again changes nothing.

        ``ts`` is a datetime or ISO 8601, in UTC where it has no offset; reads return it as
        text, just as it was given. ``meta`` is a JSON object. Reads return ``priority`` and those
        after it where one of them was given. Raises ChecksumError where ``sha256`` (hex) is not
        that of ``raw_line`` in UTF-8, EntryConflictError where another entry has this id in any
        project, UnknownProjectError.
        """
        name = project_name(project)
        raw_line = check_text("raw_line", raw_line)
        data = {
            "entry_id": check_entry_id(entry_id),
            "ts": read_moment("ts", ts)[0],
            "emoji": check_short("emoji", emoji),
            "agent": check_short("agent", agent),
            "message": check_text("message", message),
            "meta": copy_optional_object("meta", meta),
            "raw_line": raw_line,
            "sha256": check_checksum(entry_id, raw_line, sha256),
        }
        check_short("ts", data["ts"])
        more = check_more(priority, category, tags, confidence, log_type)
        data |= {field: value for field, value in more.items() if value is not None}
        await self._insert(name, entry_id, data)

    async def fetch_entry_by_id(
        self, *, entry_id: str, repo_id: str | None = None, project_name: str | None = None
    ) -> dict[str, Any] | None:
        """Return an entry of any project; ``None`` where there is none.

        It is as other reads return it, with ``entry_id``, ``timestamp``, ``log_type``,
        ``project_name`` and ``repo_id``, which is that of the project's record. The last two have
        to fit where they are given.
        """
        given: object = entry_id
        if not isinstance(given, str):
            return None
        known, _ = await self._find_entry("", entry_id)
        if known is None or project_name not in {None, "", known[0]}:
            return None
        project = await self._look(project_of, find_project(self._dialect, known[0]))
        if project is None or repo_id not in {None, "", project.repo_id}:
            return None
        more = {"log_type": None, "project_name": known[0], "repo_id": project.repo_id}
        return {**more, **known[1], "entry_id": entry_id, "timestamp": known[1]["ts"]}

    async def update_entry_meta(
        self, *, entry_id: str, project: Project, meta: Mapping[str, Any] | None
    ) -> bool:
        """Replace the metadata of an entry; False where the project has no such entry."""
        name = _name_of(project)
        data = {
            "entry_id": check_entry_id(entry_id),
            "meta": copy_object("meta", {} if meta is None else meta),
        }
        event, stream = self._event(ENTRY_META_SET, data), project_stream(name)
        known, stands = await self._find_entry(name, entry_id)
        if not stands or known is None or known[0] != name:
            return False
        await self._append(stream, event)
        return True

    async def _insert(self, name: str, entry_id: str, data: dict[str, Any]) -> None:
        """Append an entry, unless it is there; see :meth:`insert_entry` for what it raises."""
        stream, after = project_stream(name), 0
        while True:
            event = self._event(ENTRY_INSERTED, data, event_id=entry_event_id(entry_id, after))
            known, stands = await self._find_entry(name, entry_id)
            if known is not None:
                return await self._check_same(entry_id, known, (name, data))
            if not stands:
                raise UnknownProjectError(name)
            try:
                done = await self._append(stream, event)
            except DuplicateEventError as error:
                after = error.positions[0]
            else:
                if not done.duplicate:
                    return None
                after = done.position

    async def _find_entry(
        self, name: str, entry_id: str
    ) -> tuple[tuple[str, dict[str, Any]] | None, bool]:
        """Return an entry with its project's name, and whether ``name`` is a project."""
        return await self._look(found_entry, find_entry(self._dialect, name, entry_id))

    async def _check_same(
        self, entry_id: str, known: tuple[str, dict[str, Any]], new: tuple[str, dict[str, Any]]
    ) -> None:
        """Raise EntryConflictError unless both are the same entry, with equal types in JSON."""
        fields = [
            name for name in _FIELDS if _exact(known[1].get(name)) != _exact(new[1].get(name))
        ]
        if fields == ["meta"] and await self._was_inserted_with(entry_id, new[1]["meta"]):
            fields = []  # Its metadata was set anew since.
        differ = () if known[0] == new[0] else ("project",)
        if differ or fields:
            raise EntryConflictError(entry_id, (*differ, *fields))

    async def _was_inserted_with(self, entry_id: str, meta: object) -> bool:
        found: list[Any] = await self._look(list, find_position(self._dialect, entry_id))
        if not found or found[0][0] < (await self.log.head()).first_position:
            return False
        [position] = found[0]
        events = [event async for event in self.log.read(after=position - 1, until=position)]
        return any(
            isinstance(event.data, dict) and _exact(event.data.get("meta")) == _exact(meta)
            for event in events
            if not event.redacted
        )


_FIELDS: Final = (*ENTRY_FIELDS, *MORE_FIELDS)


def _exact(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")
