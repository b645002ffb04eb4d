"""Work in the order of each stream, several streams at a time."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from anyio.abc import TaskGroup

T = TypeVar("T")


class Lanes(Generic[T]):
    """Gives each stream a task that works off its items one after another.

    A lane ends with its last item. All of it is called from one event loop.
    """

    def __init__(
        self,
        work: Callable[[T], Awaitable[None]],
        tasks: TaskGroup,
    ) -> None:
        self._work = work
        self._tasks = tasks
        self._queues: dict[str, deque[T]] = {}

    def put(self, stream: str, item: T) -> None:
        """Add an item behind those of its stream."""
        queue = self._queues.get(stream)
        if queue is None:
            self._queues[stream] = deque([item])
            self._tasks.start_soon(self._run, stream)
        else:
            queue.append(item)

    async def _run(self, stream: str) -> None:
        queue = self._queues[stream]
        while queue:
            await self._work(queue[0])
            queue.popleft()
        del self._queues[stream]
