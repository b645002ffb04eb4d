"""Looks at the tables of ``support.parts`` again and again, and says what fits no single moment.

Arguments: URL of the log, ``query`` for a store's queries or ``sql`` for SQL of its own, and the
seconds between two looks. Says
``looked``, the versions that it has seen since, and how often it has looked, after some looks, and
``torn`` with what it has seen. Ends with its input.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from support.parts import look
from support.totals import one_moment, reader_of

from eventstore import EventStore
from programs.common import await_line, run, say

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Looked = tuple[int, int, str]

FIRST, LOOKS = 20, 1_000


async def repeat(once: Callable[[], Awaitable[Looked]], pause: float) -> None:
    """Look until the input ends."""
    ended = threading.Event()

    def wait() -> None:
        await_line()
        ended.set()

    threading.Thread(target=wait, daemon=True).start()
    reached, seen, looks = 0, set[int](), 0
    while not ended.is_set():
        version, position, fault = await once()
        looks += 1
        seen.add(version)
        if fault or position < reached:
            say("torn", f"version {version} at {position} after {reached}: {fault}")
        reached = position
        if looks == FIRST or looks % LOOKS == 0:
            say("looked", looks, *sorted(seen))
            seen.clear()
        await asyncio.sleep(pause)
    say("looked", looks, *sorted(seen))


async def main(url: str, way: str, pause: str) -> None:
    if way == "query":
        async with EventStore.open(url, notify="none") as store:
            await repeat(
                lambda: store.query(lambda connection, _head: look(connection)), float(pause)
            )
        return
    engine = reader_of(url)

    def ask() -> Looked:
        with engine.connect() as connection:
            one_moment(connection, "parts", "whole")
            return look(connection)

    await repeat(lambda: asyncio.to_thread(ask), float(pause))


if __name__ == "__main__":
    run(main)
