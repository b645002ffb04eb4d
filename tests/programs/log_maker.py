"""Make a log that is not there yet; with a second argument append the event "End" of that id."""

from __future__ import annotations

from eventstore import EventStore, NewEvent
from programs.common import run


async def main(url: str, end: str | None = None) -> None:
    async with EventStore.open(url) as store:
        if end is not None:
            await store.append("end/1", [NewEvent("End", 0, id=end)])


if __name__ == "__main__":
    run(main)
