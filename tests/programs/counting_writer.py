"""Append so many events, one by one, after a line. Arguments: URL, name, number of events."""

from __future__ import annotations

from eventstore import EventStore, NewEvent
from programs.common import await_line, run, say


async def main(url: str, name: str, count: str) -> None:
    async with EventStore.open(url) as store:
        say("ready")
        await_line()
        for number in range(int(count)):
            await store.append(f"s/{name}", [NewEvent("T", number)])
    say("done")


if __name__ == "__main__":
    run(main)
