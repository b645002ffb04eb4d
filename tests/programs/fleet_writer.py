"""Write to a log from three tasks until a second line; say each call that was acknowledged.

Arguments: URL, name, and settings as JSON: ``pause`` between two calls of a task (seconds),
``checked`` for whether versions are, and what opens the log. One task checks versions, one does
not, and one writes batches over two streams. A call whose outcome is unknown is sent again.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from eventstore import ANY, EventStore, NewEvent, StorageError, StreamWrite
from programs.common import await_line, run, say
from programs.fleet_limits import notice_soon

if TYPE_CHECKING:
    from collections.abc import Callable


async def append(store: EventStore, writes: list[StreamWrite], ids: list[str]) -> None:
    tries, begin = 0, time.monotonic()
    while True:
        tries += 1
        try:
            done = await store.append_many(writes)
        except StorageError as error:
            if not (error.transient or error.timed_out):
                raise
            await asyncio.sleep(random.uniform(0.01, 0.1))
        else:
            wait = time.monotonic() - begin
            say("ack", done.position, tries, int(done.duplicate), wait, time.monotonic(), *ids)
            return


@dataclass(frozen=True)
class Writer:
    """What the tasks have in common."""

    store: EventStore
    name: str
    pause: float
    checked: bool
    enough: asyncio.Future[None]

    async def work(self, kind: str, size: Callable[[int], int]) -> None:
        """Make calls of ``size(number)`` events until there are enough."""
        for number in itertools.count():
            if self.enough.done():
                return
            new = [
                NewEvent(kind, "x" * (number % 300), id=f"{self.name}-{kind}-{number}-{part}")
                for part in range(size(number))
            ]
            writes = self.writes(kind, number, new)
            await append(self.store, writes, [event.id for event in new])
            if self.pause:
                await asyncio.sleep(random.uniform(0, 2 * self.pause))

    def writes(self, kind: str, number: int, new: list[NewEvent]) -> list[StreamWrite]:
        """Return where the events of a call go."""
        if kind == "Batch":
            return [StreamWrite("shared/a", new[1:]), StreamWrite("shared/b", new[:1])]
        if kind == "Single" and self.checked:
            return [StreamWrite(f"{kind}/{self.name}", new, number)]
        return [StreamWrite(f"{kind}/{self.name}", new, ANY)]


async def main(url: str, name: str, settings: str = "{}") -> None:
    notice_soon()
    options = json.loads(settings)
    pause, checked = options.pop("pause", 0.0), options.pop("checked", True)
    async with EventStore.open(url, **options) as store:
        say("ready")
        await_line()
        enough = asyncio.ensure_future(asyncio.to_thread(await_line))
        writer = Writer(store, name, pause, checked, enough)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(writer.work("Single", lambda _: 1))
            tasks.create_task(writer.work("Any", lambda number: number % 3 + 1))
            tasks.create_task(writer.work("Batch", lambda number: 5 + number % 30))


if __name__ == "__main__":
    run(main)
