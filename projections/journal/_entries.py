"""The journal's entries: reading in pages, searching and counting."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar, Unpack

from eventstore.system.keywords import shows
from projections.journal.model import PatternTimeoutError, Project
from projections.journal.paging import EntryPage, Pages, Question
from projections.journal.queries import entries as queries
from projections.journal.queries.streamed import count_streamed, is_streamed, read_streamed
from projections.journal.search import Criteria, Search, by_filters, by_query
from projections.seams.checks import check_text, check_whole_number
from projections.seams.projected_store import ProjectedStore, is_few

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from eventstore import EventStore
    from projections.journal.paging import Anchor
    from projections.tables.connection import Connection

T = TypeVar("T")


class EntryStore(ProjectedStore):
    """Entries of :class:`~projections.journal.Journal`."""

    _regex_seconds: float
    """Time limit of one search by regular expression."""

    def _on_open(self, store: EventStore) -> None:
        super()._on_open(store)
        self._pages = Pages(store.clock)

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

        ``filters`` has the keys ``agent``, ``emoji``, ``priority``, ``category``, ``tags``,
        ``confidence``, ``log_type`` and ``meta.KEY``, all of which must be met; all but the last
        may be a list of values, one of which is met. One that is ``None`` or empty does not
        filter. A text finds metadata that is this text or whose JSON is it (``"3"`` finds 3); any
        other value finds what is equal in JSON. ``meta.a.b`` reaches into the object ``a`` where
        no key is ``a.b``.
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
        """Return a page and the number of entries in all pages, as of the first page."""
        return await self._paginated(by_filters(project, filters), page, page_size, as_of)

    async def count_entries(
        self, project: Project, filters: Mapping[str, Any] | None = None
    ) -> int:
        """Return the exact number of entries that :meth:`fetch_recent_entries` finds."""
        return await self._count(by_filters(project, filters))

    @shows(Criteria, by_query)
    async def query_entries(
        self,
        *,
        project: Project,
        limit: int,
        offset: int = 0,
        as_of: int | None = None,
        **criteria: Unpack[Criteria],
    ) -> list[dict[str, Any]]:
        """Return entries that meet all of these, newest first.

        ``start`` and ``end`` are ISO 8601 and inclusive, in UTC where they have no offset; a
        date as ``end`` includes that whole day. ``agents`` and ``emojis`` match any of their
        values; an empty list does not filter. ``message`` is part of the message
        (``substring``, the default), all of it (``exact``), or a regular expression of RE2 that
        matches somewhere (``regex``). That raises PatternError for a wrong expression and
        PatternTimeoutError for a search that takes too long. Without ``case_sensitive`` texts
        are compared after ``str.casefold``. ``meta_filters`` are as ``meta.KEY`` in ``filters``.
        """
        found = await self._page(by_query(project, **criteria), limit, offset, as_of)
        return found.entries

    @shows(Criteria, by_query)
    async def query_entries_paginated(
        self,
        *,
        project: Project,
        page: int = 1,
        page_size: int = 50,
        as_of: int | None = None,
        **criteria: Unpack[Criteria],
    ) -> tuple[list[dict[str, Any]], int]:
        """Return a page of :meth:`query_entries`, and the number of entries in all pages."""
        return await self._paginated(by_query(project, **criteria), page, page_size, as_of)

    @shows(Criteria, by_query)
    async def count_query_entries(self, *, project: Project, **criteria: Unpack[Criteria]) -> int:
        """Return the exact number of entries that :meth:`query_entries` finds."""
        return await self._count(by_query(project, **criteria))

    async def _count(self, search: Search) -> int:
        check_text("project", search.project)
        if is_streamed(search):
            return await self._search(
                partial(count_streamed, search=search, seconds=self._regex_seconds)
            )
        query = queries.count(self._dialect, search)
        return await self._look(queries.count_of, query, brief=not search.filters)

    async def _search(self, function: Callable[[Connection], T]) -> T:
        """Query the tables. A TimeoutError would read as the database's own, so it is returned."""

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
        size = check_whole_number("page_size", page_size, least=1)
        offset = (check_whole_number("page", page, least=1) - 1) * size
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
    ) -> EntryPage:
        check_text("project", search.project)
        question = Question(search, check_whole_number("limit", limit))
        at = None if as_of is None else check_whole_number("as_of", as_of)
        anchor = (
            self._pages.find(question, check_whole_number("offset", offset)) if at is None else None
        )
        found = await self._read_page(question, offset, at, anchor, with_total=with_total)
        if anchor is not None and found.project_id not in {None, anchor.project_id}:
            # The project of the pages before was deleted, and made anew.
            anchor = None
            found = await self._read_page(question, offset, at, anchor, with_total=with_total)
        if at is None:
            self._pages.store(question, offset, found, anchor)
        return found

    async def _read_page(
        self,
        question: Question,
        offset: int,
        as_of: int | None,
        anchor: Anchor | None,
        *,
        with_total: bool,
    ) -> EntryPage:
        search, limit = question
        options: dict[str, Any] = {"as_of": as_of, "anchor": anchor, "with_total": with_total}
        if is_streamed(search):
            seconds = self._regex_seconds
            return await self._search(
                lambda connection: read_streamed(
                    connection, search, limit, offset, seconds, **options
                )
            )
        return await self._look(
            partial(queries.page_of, anchor, as_of),
            *queries.page(self._dialect, search, limit, offset, **options),
            brief=is_few(limit) and not (with_total and search.filters),
        )
