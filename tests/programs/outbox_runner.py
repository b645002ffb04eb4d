"""Runs an outbox that posts to a webhook, until it is killed."""

import sys

import anyio

from eventstore import EventStore
from eventstore.outbox import Outbox
from eventstore.outbox.webhook import Webhook


async def main(url: str, hook: str) -> None:
    async with EventStore.open(url) as store, Webhook(hook) as webhook:
        await Outbox(store, "o", webhook, first_pause=0.0, longest_pause=0.0).run()


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], sys.argv[2])
