"""Opens a log with a version of a view, and says the positions of each batch that it is given.

Arguments: URL of the log, version, and the batch within which it waits to be killed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.totals import NotedTotals

from eventstore import EventStore
from programs.common import await_line, run, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore import Cursor, Event


class SaidTotals(NotedTotals):
    """Says each batch before it is committed."""

    last = 0
    """The batch that is never committed; 0 for none."""

    def apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply, and say what."""
        super().apply(connection, events, cursor)
        say(*self.batches[-1])
        if len(self.batches) == self.last:
            await_line()


async def main(url: str, version: str = "1", last: str = "0") -> None:
    view = SaidTotals(int(version))
    view.last = int(last)
    async with EventStore.open(url, inline=[view], notify="none"):
        say("open")


if __name__ == "__main__":
    run(main)
