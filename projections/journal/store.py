"""The journal seam: projects, and the entries that agents write about them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from eventstore.errors import DuplicateEventError
from projections.journal.events import (
    ENTRY_FIELDS,
    ENTRY_INSERTED,
    JOURNAL,
    entry_event_id,
    project_stream,
    read_change,
)
from projections.journal.model import (
    EntryConflictError,
    JournalChange,
    PatternTimeoutError,
    Project,
    UnknownProjectError,
    check_checksum,
    check_entry_id,
    check_object,
    check_short,
    check_text,
    project_name,
    read_moment,
    whole_number,
)
from projections.journal.paging import Pages, Question
from projections.journal.projects import Projects
from projections.journal.queries import (
    Found,
    count_entries,
    look_up,
    read_page,
)
from projections.journal.search import Search, by_filters, by_query

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from datetime import datetime

    from sqlalchemy import Connection

    from eventstore import Cursor, EventStore
    from projections.journal.model import MessageMode
    from projections.seams.changes import Changes

T = TypeVar("T")

REGEX_SECONDS: Final = 20.0
"""How long one search by regular expression may take."""


class Journal(Projects):
    """Progress logs of agents, project by project, on an event log.

    ``log`` is a URL, opened by :meth:`setup` and closed by :meth:`close`, or an open store that
    has :class:`~projections.journal.JournalTables` inline. ``by`` says who writes.
    ``regex_seconds`` limits one search by regular expression.

    Every write is an event, durable when the method returns and seen by every read that begins
    then. Reads append nothing, and what they return is the caller's own. A project is given by
    its record or its name; reading one that is not there finds nothing, writing to it raises
    UnknownProjectError. Names and ids are any text of up to 255 bytes, an ``entry_id`` of up to
    200 without control characters; anything else is InvalidInputError before it is written.

    *Newest first* is by ``ts``, and by the order in which they were inserted where that is
    equal. Pages that are read one after the other (a growing ``offset`` in steps of ``limit``,
    or a growing ``page``) are of the entries that were there at the first of them: they neither
    skip nor repeat while entries are inserted. Each task has readings of its own; give ``as_of``,
    a :meth:`position`, where several tasks or processes read pages of one.
    """

    def __init__(
        self,
        log: EventStore | str,
        *,
        by: str | None = None,
        regex_seconds: float = REGEX_SECONDS,
        **options: Any,
    ) -> None:
        super().__init__(log, by=by, **options)
        self._regex_seconds = regex_seconds

    def _on_open(self, store: EventStore) -> None:
        super()._on_open(store)
        self._pages = Pages(store.clock)

    async def setup(self) -> None:
        """Open the log and create its missing tables; a second call does nothing."""
        await self.open()

    async def position(self) -> int:
        """Return the position of the log's head, for ``as_of``."""
        return (await self.log.head()).position

    async def insert_entry(
        self,
        *,
        entry_id: str,
        project: Project,
        ts: datetime | str,
        emoji: str | None,
        agent: str | None,
        message: str,
        meta: dict[str, Any] | None,
        raw_line: str,
        sha256: str,
    ) -> None:
        """Insert an entry; the same one again changes nothing.

        ``ts`` is a datetime or ISO 8601, in UTC where it has no offset; reads return it as
        text, just as it was given. ``meta`` is a JSON object. Raises ChecksumError where
        ``sha256`` (hex) is not that of ``raw_line`` in UTF-8, EntryConflictError where
        another entry has this id in any project, UnknownProjectError.
        """
        name = project_name(project)
        stream = project_stream(name)
        raw_line = check_text("raw_line", raw_line)
        data = {
            "entry_id": check_entry_id(entry_id),
            "ts": read_moment("ts", ts)[0],
            "emoji": check_short("emoji", emoji),
            "agent": check_short("agent", agent),
            "message": check_text("message", message),
            "meta": check_object("meta", meta),
            "raw_line": raw_line,
            "sha256": check_checksum(entry_id, raw_line, sha256),
        }
        check_short("ts", data["ts"])
        after = 0
        while True:
            event = self._event(ENTRY_INSERTED, data, event_id=entry_event_id(entry_id, after))
            known, stands = await self._query(partial(look_up, name=name, entry_id=entry_id))
            if known is not None:
                return _check_same(entry_id, known, (name, data))
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

    async def fetch_recent_entries(
        self,
        *,
        project: Project,
        limit: int,
        filters: Mapping[str, Any] | None = None,
        offset: int = 0,
        as_of: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return entries, newest first: ``id, ts, emoji, agent, message, meta, raw_line``.

        ``filters`` has the keys ``agent``, ``emoji`` and ``meta.KEY``, all of which must be
        met. A text finds metadata that is this text or reads like it (``"3"`` finds 3);
        any other value finds what is equal in JSON.
        """
        found = await self._page(by_filters(project, filters), limit, offset, as_of)
        return found.entries

    async def fetch_recent_entries_paginated(
        self,
        *,
        project: Project,
        page: int = 1,
        page_size: int = 50,
        filters: Mapping[str, Any] | None = None,
        as_of: int | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """Return a page and how many entries all pages have, as of the first page."""
        return await self._paginated(by_filters(project, filters), page, page_size, as_of)

    async def count_entries(
        self, project: Project, filters: Mapping[str, Any] | None = None
    ) -> int:
        """Return how many entries :meth:`fetch_recent_entries` would find, exactly."""
        return await self._count(by_filters(project, filters))

    async def query_entries(
        self,
        *,
        project: Project,
        limit: int,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        agents: Iterable[str] | None = None,
        emojis: Iterable[str] | None = None,
        message: str | None = None,
        message_mode: MessageMode = "substring",
        case_sensitive: bool = False,
        meta_filters: Mapping[str, Any] | None = None,
        offset: int = 0,
        as_of: int | None = None,
    ) -> list[dict[str, Any]]:
        """Return entries that meet all of these, newest first.

        ``start`` and ``end`` are ISO 8601 and inclusive, in UTC where they have no offset; a
        mere date as ``end`` is the whole of that day. ``agents`` and ``emojis`` are any of
        those; none where they are empty is no filter. ``message`` is part of the message
        (``substring``), all of it (``exact``), or a regular expression of RE2 that matches
        somewhere (``regex``), in which case PatternError says what is wrong with it and
        PatternTimeoutError that it took too long. Without ``case_sensitive`` texts are equal
        that are so after ``str.casefold``. ``meta_filters`` are as ``meta.KEY`` in ``filters``.
        """
        search = by_query(
            project, start, end, agents, emojis, message, message_mode, meta_filters,
            case_sensitive=case_sensitive,
        )  # fmt: skip
        return (await self._page(search, limit, offset, as_of)).entries

    async def query_entries_paginated(
        self,
        *,
        project: Project,
        page: int = 1,
        page_size: int = 50,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        agents: Iterable[str] | None = None,
        emojis: Iterable[str] | None = None,
        message: str | None = None,
        message_mode: MessageMode = "substring",
        case_sensitive: bool = False,
        meta_filters: Mapping[str, Any] | None = None,
        as_of: int | None = None,
    ) -> tuple[list[dict[str, Any]], int]:
        """Return a page of :meth:`query_entries`, and how many entries all pages have."""
        search = by_query(
            project, start, end, agents, emojis, message, message_mode, meta_filters,
            case_sensitive=case_sensitive,
        )  # fmt: skip
        return await self._paginated(search, page, page_size, as_of)

    async def count_query_entries(
        self,
        *,
        project: Project,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        agents: Iterable[str] | None = None,
        emojis: Iterable[str] | None = None,
        message: str | None = None,
        message_mode: MessageMode = "substring",
        case_sensitive: bool = False,
        meta_filters: Mapping[str, Any] | None = None,
    ) -> int:
        """Return how many entries :meth:`query_entries` would find, exactly."""
        search = by_query(
            project, start, end, agents, emojis, message, message_mode, meta_filters,
            case_sensitive=case_sensitive,
        )  # fmt: skip
        return await self._count(search)

    def subscribe_changes(
        self, project: Project | None = None, *, after: int | Cursor | None = None
    ) -> Changes[JournalChange]:
        """Follow the changes of one project, or of everything: one item per logged change.

        Starts after what this journal read or wrote last, or after a position or cursor; 0 is
        the beginning. Heartbeats are no changes.
        """
        return self._follow(read_change, streams=_streams(project), after=after)

    def history(self, project: Project | None = None) -> Changes[JournalChange]:
        """Return the same changes from the first to the newest there is, and end."""
        return self._follow(read_change, streams=_streams(project), after=0, follow=False)

    async def _count(self, search: Search) -> int:
        check_text("project", search.project)
        return await self._search(
            partial(count_entries, search=search, seconds=self._regex_seconds)
        )

    async def _search(self, function: Callable[[Connection], T]) -> T:
        """Ask the tables. A TimeoutError would pass for the database's own: it comes as a value."""

        def ask(connection: Connection) -> T | PatternTimeoutError:
            try:
                return function(connection)
            except PatternTimeoutError as error:
                return error

        answer = await self._query(ask)
        if isinstance(answer, PatternTimeoutError):
            raise answer
        return answer

    async def _paginated(
        self, search: Search, page: int, page_size: int, as_of: int | None
    ) -> tuple[list[dict[str, Any]], int]:
        size = whole_number("page_size", page_size, least=1)
        offset = (whole_number("page", page, least=1) - 1) * size
        found = await self._page(search, size, offset, as_of, with_total=True)
        return found.entries, found.total

    async def _page(
        self,
        search: Search,
        limit: int,
        offset: int,
        as_of: int | None,
        *,
        with_total: bool = False,
    ) -> Found:
        check_text("project", search.project)
        question = Question(search, whole_number("limit", limit))
        at = None if as_of is None else whole_number("as_of", as_of)
        anchor = self._pages.find(question, whole_number("offset", offset)) if at is None else None
        found = await self._search(
            partial(
                read_page,
                search=search,
                limit=limit,
                offset=offset,
                seconds=self._regex_seconds,
                as_of=at,
                anchor=anchor,
                with_total=with_total,
            )
        )
        if at is None:
            self._pages.remember(question, offset, found, anchor)
        return found


def _streams(project: Project | None) -> str:
    return JOURNAL if project is None else project_stream(project_name(project))


def _check_same(
    entry_id: str, known: tuple[str, dict[str, Any]], new: tuple[str, dict[str, Any]]
) -> None:
    """Raise EntryConflictError unless both are the same entry, JSON's types included."""
    differ = () if known[0] == new[0] else ("project",)
    fields = [name for name in ENTRY_FIELDS if _exact(known[1][name]) != _exact(new[1][name])]
    if differ or fields:
        raise EntryConflictError(entry_id, (*differ, *fields))


def _exact(value: object) -> bytes:
    return msgspec.json.encode(value, order="sorted")
