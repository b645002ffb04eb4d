"""Append for some seconds after a line; say how many calls that were, and how long one took.

Arguments: the log's URL, a name, events of each call, seconds.
"""

from __future__ import annotations

import time
from itertools import chain, repeat

from eventstore import EventStore, NewEvent
from programs.common import await_line, run, say

PREPARED = 300
"""Calls whose events are made before the first turn, so that a large call is not late for its
turns because its events are still being made. Those of later calls are made when they are due."""


async def main(url: str, name: str, size: str, seconds: str) -> None:
    def make() -> list[NewEvent]:
        return [NewEvent("T", number) for number in range(int(size))]

    prepared = [make() for _ in range(PREPARED)]
    calls = chain(prepared, (make() for _ in repeat(None)))
    async with EventStore.open(url, notify="none") as store:
        say("ready")
        await_line()
        begin, count, worst = time.monotonic(), 0, 0.0
        while (now := time.monotonic()) < begin + float(seconds):
            await store.append(f"s/{name}", next(calls))
            worst = max(worst, time.monotonic() - now)
            count += 1
    say(name, size, count, worst)


if __name__ == "__main__":
    run(main)
