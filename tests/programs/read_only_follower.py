"""Follow a log as a user who may not write it, or through a mount that forbids it. Argument: URL.

Says the position of each event. With "as-nobody" as second argument root's rights are given up.
"""

from __future__ import annotations

import os

from eventstore import EventStore, EventStoreError, NewEvent
from programs.common import run, say


async def main(url: str, user: str = "") -> None:
    # Everything is imported before the rights to read it are given up.
    async with EventStore.open("memory://") as store:
        await store.append("a/1", [NewEvent("Made", 0)])
        async for _ in store.subscribe_changes(follow=False):
            pass
    if user and os.getuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    async with EventStore.open(url, poll=0.05) as store:
        say("faults", len((await store.verify()).findings))
        try:
            await store.append("a/1", [NewEvent("Forbidden", 0)])
        except EventStoreError as error:
            say("refused", "may read this log, not write to it" in str(error))
        async for event in store.subscribe_changes():
            say(event.position)


if __name__ == "__main__":
    run(main)
