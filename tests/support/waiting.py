"""Awaiting what shall become true, with a deadline and without guessing how long it takes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

import anyio

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Awaitable, Callable

    from eventstore.system.event_loop import Signal

T = TypeVar("T")

DEADLINE = 60.0
"""Seconds without progress after which a test gives up: far above what a step takes anywhere."""


async def eventually(condition: Callable[[], Awaitable[object]], within: float = DEADLINE) -> None:
    """Return once ``condition`` gives something true; raise TimeoutError after the deadline."""
    with anyio.fail_after(within):
        while not await condition():  # noqa: ASYNC110
            await anyio.sleep(0.005)  # the condition has no event to wait for


async def until(condition: Callable[[], object], within: float = DEADLINE) -> None:
    """Do the same for a condition that is a plain function."""

    async def holds() -> object:
        return condition()

    await eventually(holds, within)


def wait_until(condition: Callable[[], object], within: float = DEADLINE) -> None:
    """Do the same where no event loop runs, as for what another process does."""
    end = time.monotonic() + within
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"not so after {within:g} s")
        time.sleep(0.02)


async def signalled(
    signal: Signal, condition: Callable[[], object], within: float = DEADLINE
) -> None:
    """Return once ``condition`` gives something true; it is called each time the signal is set."""
    with anyio.fail_after(within):
        while True:
            seen = signal.count
            if condition():
                return
            await signal.wait(seen, within, anyio.Event())


async def take(source: AsyncIterable[T], count: int, within: float = DEADLINE) -> list[T]:
    """Return the next ``count`` items of something that may never end; each has the deadline."""
    items: list[T] = []
    iterator = aiter(source)
    while len(items) < count:
        with anyio.fail_after(within):
            items.append(await anext(iterator))
    return items


async def collect(source: AsyncIterable[T], within: float = DEADLINE) -> list[T]:
    """Return all items of something that ends; each has the deadline."""
    items: list[T] = []
    iterator = aiter(source)
    while True:
        with anyio.fail_after(within):
            try:
                items.append(await anext(iterator))
            except StopAsyncIteration:
                return items
