"""The store of memories for one event loop: what the blocking store runs."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from eventstore.errors import ConflictError
from eventstore.system.retry import retry
from projections.memories import queries
from projections.memories.events import (
    MEMORIES,
    MEMORY_DELETED,
    MEMORY_STORED,
    TYPES,
    read_change,
)
from projections.memories.files import MemoryFiles
from projections.memories.tables import MemoryTables
from projections.seams.projected_store import ProjectedStore

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from datetime import datetime

    from eventstore import Appended, Cursor, NewEvent
    from projections.memories.model import Memory, MemoryChange
    from projections.seams.changes import Changes
    from projections.tables.connection import Connection

T = TypeVar("T")


class AsyncMemoryStore(ProjectedStore):
    """The memories of one log, in the event loop that opens it."""

    def __init__(
        self,
        url: str,
        *,
        directory: str | os.PathLike[str] | None,
        retry_seconds: float,
        **options: Any,
    ) -> None:
        super().__init__(url, MemoryTables(), **options)
        self._directory = directory
        self._retry_seconds = retry_seconds
        self._files: MemoryFiles | None = None
        self._listed: Cursor | None = None

    async def open(self) -> None:
        """Open the log, and bring the files to its head."""
        await retry(super().open, self._retry_seconds)
        if self._directory is not None:
            self._files = MemoryFiles(self.log, self._directory)
            try:
                await self._files.heal((await self.log.head()).position)
            except BaseException:
                await self.close()
                raise

    async def work(self) -> None:
        """Release the directory to other processes between writes, until cancelled."""
        if self._files is not None:
            await self._files.release_when_wanted()

    async def close(self) -> None:
        """Release the directory and close the log."""
        files, self._files = self._files, None
        try:
            if files is not None:
                await files.close()
        finally:
            await super().close()

    async def store(self, stream: str, data: dict[str, Any]) -> None:
        """Append a memory."""
        await self._write(stream, self._event(MEMORY_STORED, data))

    async def delete(self, memory_id: str) -> bool:
        """Append a deletion; False where no memory is stored."""
        gone = self._event(MEMORY_DELETED, {"id": memory_id})
        while True:
            found = await self._query(partial(queries.find, memory_id=memory_id))
            if found is None:
                return False
            try:
                await self._write(MEMORIES + memory_id, gone, expected=found.version)
            except ConflictError:
                continue  # Stored or deleted meanwhile: the table says which.
            return True

    async def list_ids(self) -> list[str]:
        """Return all ids, and keep the cursor for the next subscription."""
        ids = await self._query(queries.list_ids)
        self._listed = self._seen
        return ids

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Query the table; the caller's thread decodes the answer, not this one."""
        return await self._query(question)

    async def history(self, memory_id: str) -> list[MemoryChange]:
        """Return all changes of one memory, the oldest first."""
        return await retry(
            lambda: _collect(self.log.read_stream(MEMORIES + memory_id)), self._retry_seconds
        )

    async def memories_at(self, at: int | datetime) -> list[Memory]:
        """Return all memories as of a position or a time."""
        until, when = (at, None) if isinstance(at, int) else (None, at)
        memories: dict[str, Memory] = {}
        for change in await retry(
            lambda: _collect(self.log.read(after=0, until=until, streams=MEMORIES)),
            self._retry_seconds,
        ):
            if when is not None and change.at > when:
                break
            memories.pop(change.memory_id, None)
            if change.memory is not None:
                memories[change.memory_id] = change.memory
        return [memories[memory_id] for memory_id in sorted(memories)]

    async def subscribe(self, after: int | Cursor | None) -> Changes[MemoryChange]:
        """Follow changes, redactions among them."""
        if after is None:
            after = self._listed or (await self.log.head()).cursor
        return self._follow(read_change, streams=None, after=after, types=TYPES)

    async def _write(self, stream: str, event: NewEvent, **options: Any) -> None:
        appended = await self._append(stream, event, **options)
        if self._files is not None:
            await self._files.catch_up(appended.position)

    async def _append(self, stream: str, *events: NewEvent, **options: Any) -> Appended:
        # A retry appends events with the same ids, so they are stored once.
        append = partial(super()._append, stream, *events, **options)
        return await retry(append, self._retry_seconds)

    async def _query(self, function: Callable[[Connection], T]) -> T:
        return await retry(partial(super()._query, function), self._retry_seconds)


async def _collect(events: Any) -> list[MemoryChange]:
    return [change async for event in events if (change := read_change(event)) is not None]
