"""py-event-sourcing, a peer on asyncio and SQLite, where the package is installed."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

import msgspec

from benchmarks.data import STREAMS, TYPE, payload
from benchmarks.measure import Contestant

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

NAME: Final = "py-event-sourcing"
DURABLE: Final = "no: synchronous=NORMAL"


class AsyncPeer:
    """Its streams: one for each of ours, and the one of all events.

    They are open during their own turns only: while they are, a task of theirs asks the database
    without a pause, and takes most of the event loop from all else that runs in it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "py-event-sourcing.db"
        self._streams: list[Any] = []

    def appends(self, count: int, size: int) -> list[Contestant]:
        """Append so many events per call, made within the time; none without the package."""
        run = partial(self._append, count, size)
        return self._contestants(Contestant(NAME, count, lambda: run, DURABLE, self._turn))

    def reading(self, count: int) -> list[Contestant]:
        """Read everything."""
        return self._contestants(Contestant(NAME, count, lambda: self._read, "", self._turn))

    async def fill(self, count: int, size: int) -> None:
        """Append what is read later."""
        for one in self.appends(count, size):
            async with one.around():
                await one.prepare()()

    def _contestants(self, one: Contestant) -> list[Contestant]:
        return [one] if find_spec("py_event_sourcing") else []

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        from py_event_sourcing import sqlite_stream_factory  # noqa: PLC0415 - it is optional

        async with AsyncExitStack() as stack:
            factory = await stack.enter_async_context(sqlite_stream_factory(str(self._path)))
            names = [*STREAMS, "@all"]
            self._streams = [await stack.enter_async_context(factory(name)) for name in names]
            yield

    async def _append(self, count: int, size: int) -> None:
        from py_event_sourcing import CandidateEvent  # noqa: PLC0415 - it is optional

        for at in range(count // size):
            events = [
                CandidateEvent(type=TYPE, data=msgspec.json.encode(payload(number)))
                for number in range(size)
            ]
            await self._streams[at % 64].write(events)

    async def _read(self) -> None:
        async for _ in self._streams[-1].read():
            pass
