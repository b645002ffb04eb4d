"""What the suites of a backend share."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias, TypeVar

from eventstore import EventStore, NewEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

T = TypeVar("T")

OpenStore: TypeAlias = "Callable[[str], EventStore]"
"""What opens a store on a log."""


def some(count: int) -> list[NewEvent]:
    """Return ``count`` new events whose data counts from 0."""
    return [NewEvent("Happened", index) for index in range(count)]


async def collect(source: AsyncIterable[T]) -> list[T]:
    """Return all items of what ends by itself."""
    return [item async for item in source]


async def take(source: AsyncIterable[T], count: int) -> list[T]:
    """Return the next ``count`` items of what may never end."""
    taken: list[T] = []
    async for item in source:
        taken.append(item)
        if len(taken) == count:
            break
    return taken
