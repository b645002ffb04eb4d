"""Follow a log from its end; say each position. Arguments: URL, name, settings as JSON."""

from __future__ import annotations

import json

from eventstore import END, EventStore
from programs.common import run, say


async def main(url: str, _name: str, settings: str) -> None:
    async with (
        EventStore.open(url, **json.loads(settings)) as store,
        store.subscribe_changes(after=END) as subscription,
    ):
        say("at", subscription.position)
        async for event in subscription:
            say("at", event.position)


if __name__ == "__main__":
    run(main)
