"""Follow as the consumer "w", flush after each event, and wait at the third. Argument: URL."""

from __future__ import annotations

from eventstore import EventStore
from programs.common import await_line, run, say


async def main(url: str) -> None:
    async with (
        EventStore.open(url) as store,
        store.subscribe_changes(consumer="w") as subscription,
    ):
        async for event in subscription:
            await subscription.ack(flush=True)
            say("took", event.position)
            if event.position == 3:
                say("waiting")
                await_line()


if __name__ == "__main__":
    run(main)
