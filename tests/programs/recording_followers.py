"""Four followers of one log in one process, each with a file of what it receives.

Arguments: URL, name, and settings as JSON: ``directory`` for the files, the process's ``number``
and the ``count`` of processes, and what opens the log. A line tells up to where to follow.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eventstore import EventStore, HistoryDivergedError
from programs.common import run, say
from programs.fleet_limits import notice_soon

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore import Event, Subscription

NOTHING_LEFT = 2**60
"""A position that says that no follower of the process waits for anything."""


def kinds(number: int, count: int) -> dict[str, tuple[dict[str, Any], str]]:
    """Return how each follower subscribes, and how its file says so."""
    return {
        "plain": ({}, "plain"),
        "category": ({"streams": "Single/"}, "category Single/"),
        "shard": ({"shard": (number, count)}, f"shard {number} {count}"),
        "consumer": ({"consumer": f"worker-{number}"}, f"consumer worker-{number}"),
    }


async def receive(subscription: Subscription, kind: str, write: Callable[[str], object]) -> None:
    def record(event: Event) -> None:
        write(f"event {event.position} {event.id} {event.hash.hex()} {time.monotonic():.4f}\n")

    if kind != "consumer":
        async for event in subscription:
            record(event)
        return
    async for cursor, events in subscription.commits():
        for event in events:
            record(event)
        write(f"commit {cursor.position} {cursor.hash.hex()} {len(events)}\n")


class Followers:
    """The followers that run, by kind."""

    def __init__(self, store: EventStore, directory: Path, number: int) -> None:
        self.store = store
        self.directory = directory
        self.number = number
        self.running: dict[str, Subscription] = {}

    async def follow(self, kind: str, filters: dict[str, Any], wish: str) -> None:
        """Record what one of them receives, until it is closed or its history is another."""
        path = self.directory / f"{kind}{self.number}.record"
        with path.open("w", buffering=1) as file:
            file.write(f"follow {wish}\n")
            try:
                async with self.store.subscribe_changes(**filters) as subscription:
                    self.running[kind] = subscription
                    await receive(subscription, kind, file.write)
            except HistoryDivergedError as error:
                file.write(f"diverged {error.position} {time.monotonic():.4f}\n")
            del self.running[kind]

    async def report(self, enough: asyncio.Future[str]) -> None:
        """Say where the last of them is, and close all once that is far enough."""
        last = None
        while self.running:
            # One that has ended, because its history is not the log's, waits for nothing.
            at = min(one.position for one in self.running.values())
            if at != last:
                say("at", at)
                last = at
            if enough.done() and at >= int(enough.result()):
                for one in list(self.running.values()):
                    await one.aclose()
            await asyncio.sleep(0.02)
        say("at", NOTHING_LEFT)


async def main(url: str, _name: str, settings: str) -> None:
    notice_soon()
    options = json.loads(settings)
    directory, number = Path(options.pop("directory")), options.pop("number")
    wanted = kinds(number, options.pop("count"))
    async with EventStore.open(url, **options) as store:
        followers = Followers(store, directory, number)
        async with asyncio.TaskGroup() as tasks:
            for kind, (filters, wish) in wanted.items():
                tasks.create_task(followers.follow(kind, filters, wish))
            while len(followers.running) < len(wanted):  # noqa: ASYNC110 - no event tells it
                await asyncio.sleep(0.01)
            say("ready")
            enough = asyncio.ensure_future(asyncio.to_thread(sys.stdin.readline))
            tasks.create_task(followers.report(enough))
        say("facts", json.dumps(store._notifier.describe()))
        say("at", NOTHING_LEFT)


if __name__ == "__main__":
    run(main)
