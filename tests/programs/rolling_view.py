"""A process of a rolling deployment, with one version of a projection, told by lines what to do.

Arguments: URL of the log, URL of the tables' database or ``inline``, version, what to do about a
newer version. ``append N`` appends so many commits and says ``appended``; ``storm`` appends
until the process is killed.
"""

from __future__ import annotations

import asyncio
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


async def follow(store: EventStore, runner: ProjectionRunner) -> None:
    """Keep the projection, and say how that ends."""
    say("following", (await store.head()).position)
    try:
        await runner.run()
    except EventStoreError as error:
        say(type(error).__name__)


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
                    say(type(error).__name__)
            if task is not None:
                task.cancel()
                with suppress(asyncio.CancelledError):
                    await task
    except EventStoreError as error:
        say(type(error).__name__)


if __name__ == "__main__":
    run(main)
