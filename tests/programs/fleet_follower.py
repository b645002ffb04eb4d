"""Follow a log until its "End"; say each event. Arguments: URL, name."""

from __future__ import annotations

import time

from eventstore import EventStore
from programs.common import run, say
from programs.fleet_limits import notice_soon


async def main(url: str, _name: str) -> None:
    notice_soon()
    async with EventStore.open(url) as store:
        say("ready")
        async for event in store.subscribe_changes():
            say("got", event.position, time.monotonic(), event.id)
            if event.type == "End":
                return


if __name__ == "__main__":
    run(main)
