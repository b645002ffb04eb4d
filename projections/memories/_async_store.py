"""The store of memories in the background loop, with the calls that threads make."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from eventstore.errors import ConflictError
from eventstore.moments.resolve import resolve_moment
from eventstore.system.retry import retry, retry_here
from projections.memories import queries
from projections.memories.events import (
    MEMORIES,
    MEMORY_DELETED,
    MEMORY_STORED,
    TYPES,
    memory_stream,
    read_change,
)
from projections.memories.files import MemoryFiles
from projections.memories.revert import plan_memory
from projections.memories.tables import MemoryTables
from projections.seams.past import check_position_is_known, check_time_is_known
from projections.seams.projected_store import ProjectedStore
from projections.seams.reverting import revert_metadata

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from eventstore import Appended, Cursor, NewEvent
    from eventstore.storage.driver import Query
    from projections.memories.model import Memory, MemoryChange
    from projections.seams.changes import Changes

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

    def store(self, stream: str, data: dict[str, Any]) -> Appended:
        """Append a memory, in any thread."""
        return self._append_here(stream, self._event(MEMORY_STORED, data))

    def delete(self, memory_id: str) -> Appended | None:
        """Append a deletion, in any thread; ``None`` where no memory is stored."""
        gone = self._event(MEMORY_DELETED, {"id": memory_id})
        while rows := self.ask(queries.find(memory_id), brief=True):
            _, version = rows[0]
            try:
                return self._append_here(MEMORIES + memory_id, gone, expected=version)
            except ConflictError:
                continue  # Stored or deleted meanwhile: the table says which.
        return None

    def list_ids(self) -> list[str]:
        """Return all ids, in any thread, and keep the cursor for the next subscription."""
        (rows,), self._listed = self._retry_here(partial(self.look_here, queries.LIST_IDS))
        return [memory_id for (memory_id,) in rows]

    def ask(self, query: Query, *, brief: bool = False) -> list[tuple[Any, ...]]:
        """Return the rows of a query of the table, in any thread: ``brief`` for one at the most."""
        (rows,), _ = self._retry_here(partial(self.look_here, query, brief=brief))
        return rows

    def find_many(self, ids: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the stored ones of these memories, each id with JSON text, in any thread."""
        return self.ask(queries.find_many(self._dialect, ids))

    async def write_files(self, appended: Appended | None) -> None:
        """Return once the files are as of an append."""
        if self._files is not None and appended is not None:
            await self._files.catch_up(appended.position)

    async def history(self, memory_id: str) -> list[MemoryChange]:
        """Return all changes of one memory that the log has or has kept, the oldest first."""
        return await retry(
            lambda: _collect(self.log.read(streams=MEMORIES + memory_id, kept=True)),
            self._retry_seconds,
        )

    async def memories_at(self, at: int | datetime) -> list[Memory]:
        """Return all memories as of a position or a time."""
        until, when = (at, None) if isinstance(at, int) else (None, at)
        memories: dict[str, Memory] = {}
        for change in await retry(
            lambda: _collect(self.log.read(until=until, streams=MEMORIES, kept=True)),
            self._retry_seconds,
        ):
            if when is not None and change.at > when:
                break
            memories.pop(change.memory_id, None)
            if change.memory is not None:
                memories[change.memory_id] = change.memory
        if until is not None:
            await check_position_is_known(self.log, until)
        if when is not None:
            await check_time_is_known(self.log, when)
        return [memories[memory_id] for memory_id in sorted(memories)]

    async def revert(
        self, memory_id: str, to: int | datetime | str, reason: str, by: str | None
    ) -> bool:
        """Restore a memory as it was at a moment; True where something differed."""
        moment = await resolve_moment(self.log, to)
        metadata = revert_metadata(moment.position, by or self._by or self.log.owner, reason)
        stream = memory_stream(memory_id)
        write = await plan_memory(self.log, stream, moment.position, metadata)
        if write is not None:
            await self.write_files(await self.log.append_many([write]))
        return write is not None

    async def subscribe(self, after: int | Cursor | None) -> Changes[MemoryChange]:
        """Follow changes, redactions among them."""
        if after is None:
            after = self._listed or (await self.log.head()).cursor
        return self._follow(read_change, streams=None, after=after, types=TYPES)

    def _append_here(self, stream: str, event: NewEvent, **options: Any) -> Appended:
        # A retry appends an event with the same id, so it is stored once.
        return self._retry_here(partial(self.append_here, stream, event, **options))

    def _retry_here(self, function: Callable[[], T]) -> T:
        return retry_here(function, self._retry_seconds)


async def _collect(events: Any) -> list[MemoryChange]:
    return [change async for event in events if (change := read_change(event)) is not None]
