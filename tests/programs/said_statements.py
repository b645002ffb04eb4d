"""Opens a log with a version of a view, and says each statement that is sent for the view."""

from __future__ import annotations

from sqlalchemy import Engine, event
from support.totals import TimesTotals

from eventstore import EventStore
from programs.common import run, say


async def main(url: str, version: str) -> None:
    event.listen(Engine, "before_cursor_execute", lambda *_: say("statement"))
    async with EventStore.open(url, inline=[TimesTotals(int(version))], notify="none"):
        say("open")


if __name__ == "__main__":
    run(main)
