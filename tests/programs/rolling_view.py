"""A process of a rolling deployment, with one version of a projection, told by lines what to do.

Arguments: URL of the log, URL of the tables' database or ``inline``, version, what to do about a
newer version. ``append N`` appends so many commits and says ``appended``; ``storm`` appends
until the process is killed. Each error is a line on stdout, its type, and one on stderr, which has
all warnings too.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from support.totals import DoubledTotals, Totals

from eventstore import EventStore, EventStoreError, NewEvent
from programs.common import run, say
from projections import ProjectionRunner

if TYPE_CHECKING:
    from eventstore.log.inline_view import OnNewerView


async def append(store: EventStore, stream: str, count: int) -> None:
    """Append so many commits of one event."""
    for number in range(count):
        await store.append(stream, [NewEvent("Counted", number % 7 + 1)])


def tell(error: EventStoreError) -> None:
    """Say what went wrong."""
    logging.error("%s: %s", type(error).__name__, error)  # noqa: LOG015 - no part of a package
    say(type(error).__name__)


async def follow(store: EventStore, runner: ProjectionRunner) -> None:
    """Keep the projection, and say how that ends."""
    say("following", (await store.head()).position)
    try:
        await runner.run()
    except EventStoreError as error:
        tell(error)


async def main(url: str, place: str, version: str, on_newer: OnNewerView) -> None:
    view = DoubledTotals() if version == "2" else Totals()
    inline = [view] if place == "inline" else []
    try:
        async with EventStore.open(url, inline=inline, on_newer_view=on_newer, poll=0.05) as store:
            say("open")
            task = None
            if not inline:
                task = asyncio.create_task(follow(store, ProjectionRunner(store, view.at(place))))
            while line := await asyncio.to_thread(sys.stdin.readline):
                word, *count = line.split()
                while word == "storm":
                    await append(store, f"n/{version}", 5)
                    say("stormed")
                try:
                    await append(store, f"n/{version}", int(*count))
                    say("appended")
                except EventStoreError as error:
                    tell(error)
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
    except EventStoreError as error:
        tell(error)


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    run(main)
