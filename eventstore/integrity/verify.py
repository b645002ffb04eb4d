"""Verifying a log from its first row to its last, while others read and write it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from eventstore.errors import StorageError
from eventstore.integrity.checks import Checker
from eventstore.log.operations import IntegrityPage

if TYPE_CHECKING:
    from eventstore.integrity.findings import Report
    from eventstore.log.events import Cursor, Event
    from eventstore.log.operations import Head
    from eventstore.storage.protocols import IntegrityReader

PAGE_ROWS: Final = 4_096

BEFORE_ALL: Final = -(2**63)
"""Below every position that a row can have, also rows at impossible positions."""

MAX_UNREADABLE: Final = 100
"""Unreadable rows after which the remaining ones are not read one by one any more."""

Progress: TypeAlias = Callable[[int, int], None]
"""Called with the position reached and the position of the head."""

Run: TypeAlias = Callable[..., Awaitable[Any]]
"""Runs a blocking function in a thread."""


class _Trimmed(Exception):  # noqa: N818 - it ends an attempt, and is no error
    """History was trimmed while it was being checked."""


async def verify(
    backend: IntegrityReader,
    run: Run,
    anchor: Cursor | None,
    progress: Progress | None,
    redactions: Sequence[Event] = (),
) -> Report:
    """Check a log; see :meth:`eventstore.store.event_store.EventStore.verify`."""
    while True:
        try:
            return await _Verification(backend, run, anchor, progress, redactions).run()
        except _Trimmed:
            continue


class _Verification:
    """One attempt. It reads page by page, so that no snapshot is held for long.

    Rows that are kept of a trimmed prefix come first: their redactions are named by events
    that are read afterwards.
    """

    def __init__(
        self,
        backend: IntegrityReader,
        run: Run,
        anchor: Cursor | None,
        progress: Progress | None,
        redactions: Sequence[Event],
    ) -> None:
        self._backend = backend
        self._run = run
        self._anchor = anchor
        self._progress = progress
        self._redactions = redactions

    async def run(self) -> Report:
        faults = await self._faults()
        head: Head = (
            await self._run(partial(self._backend.integrity_page, side_tables=False), 0, 1)
        ).head
        self._checker = checker = Checker(head, self._anchor, self._redactions)
        self._first = head.first_position
        for where, what in faults:
            checker.found.add(None, where, what)
        await self._check_kept()
        last = await self._check_events()
        for position in checker.redacted_with_content():
            rows = (await self._page(position - 1, 1, side_tables=False)).rows
            if rows and rows[0].event.position == position and not rows[0].event.redacted:
                checker.found.event(position, "was redacted, but has content")
        return checker.finish(last.head, last.side_tables)

    async def _faults(self) -> list[tuple[str, str]]:
        try:
            found: list[tuple[str, str]] = await self._run(self._backend.faults)
        except StorageError as error:
            if error.transient:
                raise
            return [("database", f"cannot check itself: {error.reason}")]
        return found

    async def _check_kept(self) -> None:
        after = BEFORE_ALL
        try:
            while rows := await self._run(self._backend.kept_rows, after, PAGE_ROWS):
                after = await self._run(self._checker.check_kept, rows)
        except StorageError as error:
            self._note("kept events", error)

    async def _check_events(self) -> IntegrityPage:
        """Check every row, and return the last page."""
        checker, limit, after = self._checker, PAGE_ROWS, BEFORE_ALL
        while True:
            try:
                page = await self._page(after, limit)
            except StorageError as error:
                if limit > 1 and not error.transient:
                    limit = max(1, limit // 16)  # One of these rows cannot be read.
                    continue
                page = await self._page_after_error(after, error)
                after = checker.position
            await self._run(checker.check_rows, page.rows)
            limit = min(PAGE_ROWS, limit * 16)
            if page.rows:
                after = page.rows[-1].event.position
            if self._progress is not None:
                self._progress(checker.position, page.head.position)
            if page.ended:
                return page

    async def _page_after_error(self, after: int, error: StorageError) -> IntegrityPage:
        """Find out whether the next row cannot be read, or the side tables of the last page."""
        try:
            page = await self._page(after, 1, side_tables=False)
        except StorageError as unreadable:
            if unreadable.transient or self._checker.unread >= MAX_UNREADABLE:
                raise
            self._checker.skip(unreadable.reason)
            head: Head = await self._run(self._backend.head)
            ended = self._checker.position >= head.position
            return IntegrityPage(head, [], ended, None)
        self._note("the tables beside the events", error)
        return page

    def _note(self, where: str, error: StorageError) -> None:
        if error.transient:
            raise error
        self._checker.found.add(None, where, f"cannot be read: {error.reason}")

    async def _page(self, after: int, limit: int, *, side_tables: bool = True) -> IntegrityPage:
        read = partial(self._backend.integrity_page, side_tables=side_tables)
        page: IntegrityPage = await self._run(read, after, limit)
        if page.head.first_position != self._first:
            raise _Trimmed
        return page
