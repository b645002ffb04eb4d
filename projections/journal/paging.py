"""Pages that neither skip nor repeat: what each page has to know of the one before.

Entries only ever join, so the entries as of one position of the log do not change. The first page
of a question sets that position, the *anchor*; the pages after it are of the same entries, however
many have joined since, and begin beneath the last entry of the page before them.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

import anyio

if TYPE_CHECKING:
    from eventstore.log.clock import Clock
    from projections.journal.queries import Found
    from projections.journal.search import Search

KEPT: Final = 1_000
"""Questions whose anchors are remembered; the one asked longest ago goes first."""

EXPIRES_US: Final = 10 * 60 * 1_000_000
"""How long after its first page an anchor holds, in microseconds."""


class Question(NamedTuple):
    """What the pages of one reading have in common."""

    search: Search
    limit: int


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

    A page belongs to the reading of its own task; where that has none, to the latest of the
    same question, because a server answers each request in a task of its own.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._anchors: OrderedDict[tuple[Question, int], Anchor] = OrderedDict()

    def find(self, question: Question, offset: int) -> Anchor | None:
        """Return the anchor of the reading that this page goes on with; ``None`` for a new one.

        Page one begins a reading, and so does a page that was read before: whoever reads
        it again wants to see what is new.
        """
        if offset == 0 or question.limit == 0 or offset % question.limit:
            return None
        for task in (anyio.get_current_task().id, 0):
            anchor = self._anchors.get((question, task))
            if anchor is not None and self._goes_on(anchor, offset):
                return anchor
        return None

    def _goes_on(self, anchor: Anchor, offset: int) -> bool:
        return (
            offset not in anchor.served
            and (anchor.end is None or offset < anchor.end)
            and self._clock() - anchor.begun_us < EXPIRES_US
        )

    def remember(
        self, question: Question, offset: int, found: Found, anchor: Anchor | None
    ) -> None:
        """Remember a page that was read, for the one that follows."""
        if found.project_id is None:
            return
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
        for task in (anyio.get_current_task().id, 0):
            self._anchors[question, task] = anchor
            self._anchors.move_to_end((question, task))
        while len(self._anchors) > 2 * KEPT:
            self._anchors.popitem(last=False)
