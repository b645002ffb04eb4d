"""Follow a log through Redis; say what arrives, and at each "Report" what it cost.

Arguments: URL, URL of the Redis, keys.
"""

from __future__ import annotations

import json
import time

from eventstore import EventStore
from programs.common import run, say


async def main(url: str, notify: str, *keys: str) -> None:
    async with (
        EventStore.open(url, notify=notify, notify_keys=keys) as store,
        store.subscribe_changes() as changes,
    ):
        say("ready")
        async for event in changes:
            say("got", event.position, event.id, time.monotonic())
            if event.type == "Report":
                say("looks", store.feed.tail.reads)
                say("facts", json.dumps(store._notifier.describe()))


if __name__ == "__main__":
    run(main)
