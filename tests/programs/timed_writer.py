"""Append for some seconds after a line; say how many calls that were, and how long one took.

Arguments: the log's URL, a name, events of each call, seconds.
"""

from __future__ import annotations

import time

from eventstore import EventStore, NewEvent
from programs.common import await_line, run, say


async def main(url: str, name: str, size: str, seconds: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        say("ready")
        await_line()
        begin, calls, worst = time.monotonic(), 0, 0.0
        while (now := time.monotonic()) < begin + float(seconds):
            await store.append(f"s/{name}", [NewEvent("T", number) for number in range(int(size))])
            worst = max(worst, time.monotonic() - now)
            calls += 1
    say(name, size, calls, worst)


if __name__ == "__main__":
    run(main)
