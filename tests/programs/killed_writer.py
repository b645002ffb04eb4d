"""Append with a view that is inline, and say each event that it is given. Argument: the log.

Says ``acknowledged`` and the position after each append, which is of one number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.totals import Totals

from eventstore import EventStore, NewEvent
from programs.common import run, say

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from eventstore import Event


class SaidTotals(Totals):
    """Says each event within the transaction that applies it."""

    def handle(self, connection: Connection, event: Event) -> None:
        """Apply, and say which."""
        super().handle(connection, event)
        say(event.position)


async def main(log: str) -> None:
    async with EventStore.open(log, inline=[SaidTotals()], notify="none") as store:
        while True:
            done = await store.append("mine/1", [NewEvent("Counted", 3)])
            say("acknowledged", done.position)


if __name__ == "__main__":
    run(main)
