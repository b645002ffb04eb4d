"""Follow as a consumer and note each event in a file: position and hash, when it is done.

Arguments: URL, name of the consumer, file.
"""

from __future__ import annotations

import asyncio
import os

from eventstore import EventStore
from programs.common import run


async def main(url: str, name: str, record: str) -> None:
    out = os.open(record, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    async with (
        EventStore.open(url) as store,
        store.subscribe_changes(consumer=name) as changes,
    ):
        async for event in changes:
            # Work takes a while, so that a kill finds events given out and not done.
            await asyncio.sleep(0.005)
            os.write(out, b"%d %s\n" % (event.position, event.hash.hex().encode()))


if __name__ == "__main__":
    run(main)
