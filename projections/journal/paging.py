"""Pages that neither skip nor repeat entries: what a page needs of the page before.

Entries are only added, so the entries as of one position of the log do not change. The first page
of a question sets that position, the *anchor*. The following pages show the entries as of the
anchor, and begin after the last entry of the page before.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore.system.event_loop import task_id

if TYPE_CHECKING:
    from eventstore.log.clock import Clock
    from projections.journal.search import Search

CACHED: Final = 1_000
"""Questions whose anchors are cached; the least recently used one is dropped first."""

EXPIRES_US: Final = 10 * 60 * 1_000_000
"""Lifetime of an anchor after its first page, in microseconds."""


class Question(NamedTuple):
    """What all pages of one reading have in common."""

    search: Search
    limit: int


class EntryPage(NamedTuple):
    """A page of entries, and what the next page needs: ``last`` is the key of the last entry."""

    entries: list[dict[str, Any]]
    project_id: int | None
    as_of: int
    last: tuple[int, int] | None
    total: int


class Anchor(NamedTuple):
    """Where a reading is: ``last`` is the key of the entry before ``next_offset``."""

    project_id: int
    as_of: int
    begun_us: int
    total: int
    next_offset: int
    last: tuple[int, int] | None
    end: int | None
    served: set[int]


class Pages:
    """The anchors of one journal, by question and by task.

    A page continues the reading of its own task. Where that task has none it continues the
    latest reading of the same question, because a server handles each request in its own task.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchors: OrderedDict[tuple[Question, int], Anchor] = OrderedDict()

    def find(self, question: Question, offset: int) -> Anchor | None:
        """Return the anchor of the reading that this page continues; ``None`` for a new one.

        Page one begins a reading, and so does a page that was read before: reading a page
        again shows new entries.
        """
        if offset == 0 or question.limit == 0 or offset % question.limit:
            return None
        for task in (task_id(), 0):
            anchor = self._anchors.get((question, task))
            if anchor is not None and self._continues(anchor, offset):
                return anchor
        return None

    def _continues(self, anchor: Anchor, offset: int) -> bool:
        return (
            offset not in anchor.served
            and (anchor.end is None or offset < anchor.end)
            and self._clock() - anchor.begun_us < EXPIRES_US
        )

    def store(
        self, question: Question, offset: int, found: EntryPage, anchor: Anchor | None
    ) -> None:
        """Store the anchor for the page that follows."""
        if found.project_id is None:
            return
        is_all = offset == 0 and len(found.entries) < question.limit
        if is_all and (question, 0) not in self._anchors:
            return  # No page follows.
        if anchor is None or anchor.project_id != found.project_id:
            anchor = Anchor(found.project_id, found.as_of, self._clock(), -1, 0, None, None, set())
        anchor.served.add(offset)
        count = len(found.entries)
        anchor = anchor._replace(
            total=max(anchor.total, found.total),
            next_offset=offset + count,
            last=found.last,
            end=anchor.end if count == question.limit else offset + count,
        )
        for task in (task_id(), 0):
            self._anchors[question, task] = anchor
            self._anchors.move_to_end((question, task))
        while len(self._anchors) > 2 * CACHED:
            self._anchors.popitem(last=False)
