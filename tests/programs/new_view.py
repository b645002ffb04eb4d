"""Opens a log with a view, and says the positions of each batch that the view is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.totals import NotedTotals

from eventstore import EventStore
from programs.common import run, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Connection

    from eventstore import Cursor, Event


class SaidTotals(NotedTotals):
    """Says each batch before it is committed."""

    def apply(self, connection: Connection, events: Sequence[Event], cursor: Cursor) -> None:
        """Apply, and say what."""
        super().apply(connection, events, cursor)
        say(*self.batches[-1])


async def main(url: str) -> None:
    async with EventStore.open(url, inline=[SaidTotals()], notify="none"):
        say("open")


if __name__ == "__main__":
    run(main)
