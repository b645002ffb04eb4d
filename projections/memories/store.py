"""The memories seam: a synchronous, thread-safe store of what assistants remember."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventstore.errors import ConflictError, InvalidInputError
from projections.memories import tables as views
from projections.memories.events import (
    MEMORIES,
    MEMORY_DELETED,
    MEMORY_STORED,
    TYPES,
    decode_memory,
    encode_memory,
    read_change,
)
from projections.memories.files import MemoryFiles
from projections.memories.model import check_id
from projections.memories.tables import MemoryTables
from projections.seams.base import Seam
from projections.seams.blocking_host import Host
from projections.seams.retry import retry

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable
    from datetime import datetime
    from types import TracebackType
    from typing import Self

    from sqlalchemy import Connection

    from eventstore import Appended, Cursor, NewEvent
    from projections.memories.model import Memory, MemoryChange
    from projections.seams.base import Changes
    from projections.seams.shared_stores import SharedChanges

T = TypeVar("T")

RETRY_SECONDS: Final = 30.0
"""How long transient errors of the database are met with another try."""


class MemoryLog(Seam):
    """The memories of one log, for the event loop that opens it: what the store runs."""

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
        """Open the log, and bring the files to where it is."""
        await retry(self.open_log, self._retry_seconds)
        if self._directory is not None:
            self._files = MemoryFiles(self.log, self._directory)
            try:
                await self._files.heal((await self.log.head()).position)
            except BaseException:
                await self.close()
                raise

    async def work(self) -> None:
        """Let other processes have the directory in between."""
        if self._files is not None:
            await self._files.let_go()

    async def close(self) -> None:
        """Leave the directory and close the log."""
        files, self._files = self._files, None
        try:
            if files is not None:
                await files.close()
        finally:
            await self.close_log()

    async def store(self, stream: str, data: dict[str, Any]) -> None:
        """Append a memory."""
        await self._write(stream, self._event(MEMORY_STORED, data))

    async def delete(self, memory_id: str) -> bool:
        """Append a deletion, unless there is nothing to delete."""
        gone = self._event(MEMORY_DELETED, {"id": memory_id})
        while True:
            found = await self._query(partial(views.find, memory_id=memory_id))
            if found is None:
                return False
            try:
                await self._write(MEMORIES + memory_id, gone, expected=found.version)
            except ConflictError:
                continue  # Stored or deleted meanwhile: which, the view tells.
            return True

    async def list_ids(self) -> list[str]:
        """Return all ids, and remember what this saw."""
        ids = await self._query(views.list_ids)
        self._listed = self._seen
        return ids

    async def ask(self, question: Callable[[Connection], T]) -> T:
        """Ask the view; what it says is decoded in the thread that asked, not in this one."""
        return await self._query(question)

    async def history(self, memory_id: str) -> list[MemoryChange]:
        """Return what happened to one memory."""
        return await retry(
            lambda: _collect(self.log.read_stream(MEMORIES + memory_id)), self._retry_seconds
        )

    async def memories_at(self, at: int | datetime) -> list[Memory]:
        """Return all memories as they were."""
        until, when = (at, None) if isinstance(at, int) else (None, at)
        memories: dict[str, Memory] = {}
        for change in await retry(
            lambda: _collect(self.log.read(until=until, streams=MEMORIES)), self._retry_seconds
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
            await self._files.reach(appended.position)

    async def _append(self, stream: str, *events: NewEvent, **options: Any) -> Appended:
        # The events keep their ids, so that a try whose outcome is not known is settled.
        again = partial(super()._append, stream, *events, **options)
        return await retry(again, self._retry_seconds)

    async def _query(self, function: Callable[[Connection], T]) -> T:
        return await retry(partial(super()._query, function), self._retry_seconds)


async def _collect(events: Any) -> list[MemoryChange]:
    return [change async for event in events if (change := read_change(event)) is not None]


class MemoryStore:
    """Memories in a log, for threads: every method blocks, and any thread may call any of them.

    ``url`` names the log: ``sqlite:///memories.db``, ``postgresql://…`` or ``memory://``. With
    ``directory`` there is also a JSON file for each memory, written before ``store`` returns.
    ``by`` says who writes, in each event; without it that is the process. ``options`` are
    those of ``EventStore.open``. It opens at its first use, or with ``with``, and runs in the
    one background event loop of the process; a forked child opens it anew.

    What a call has written, every later call of any thread and process reads. A write that
    raised left nothing behind, except that after a StorageError that is ``transient`` it may
    have been stored, whole. Lost connections and time limits of the database are tried again
    for ``retry_seconds``, then raised as StorageError. Ids are 1 to 255 ASCII letters, digits,
    ``-`` and ``_``; every method raises InvalidInputError, a ValueError, for another one.
    Memories given out are the caller's own. After ``close`` every call is a
    StoreClosedError.
    """

    def __init__(
        self,
        url: str,
        *,
        directory: str | os.PathLike[str] | None = None,
        by: str | None = None,
        retry_seconds: float = RETRY_SECONDS,
        **options: Any,
    ) -> None:
        make = partial(
            MemoryLog, url, directory=directory, by=by, retry_seconds=retry_seconds, **options
        )
        make()  # Names what is wrong with the arguments at once; nothing is opened.
        self._host = Host(make, "the store of memories", lasting=url != "memory://")

    def store(self, memory: Memory) -> None:
        """Keep a memory, in the place of the one with its id if there is one.

        Returns once it is durable. Raises InvalidInputError, naming the field, before anything
        is written: for a bad id, for what JSON cannot hold exactly (NaN, infinities), for half
        characters; LimitExceededError for more than 16 MB.
        """
        # Encoded here and now: what the caller changes afterwards changes nothing.
        data = encode_memory(memory)
        self._host.run(partial(MemoryLog.store, stream=MEMORIES + data["id"], data=data))

    def get(self, memory_id: str) -> Memory | None:
        """Return a memory, ``None`` where there is none."""
        found = self._ask(partial(views.find, memory_id=check_id(memory_id)))
        return None if found is None else decode_memory(found.memory)

    def delete(self, memory_id: str) -> bool:
        """Remove a memory; return whether there was one. Of several callers one gets True.

        Its history stays, and storing the id again is allowed.
        """
        return self._host.run(partial(MemoryLog.delete, memory_id=check_id(memory_id)))

    def list_ids(self) -> list[str]:
        """Return the ids of all memories, sorted; the next subscription starts from there."""
        return self._host.run(MemoryLog.list_ids)

    def get_batch(self, ids: Iterable[str]) -> list[Memory]:
        """Return several memories in the order asked, by one query, all as of one moment.

        Those that are missing are left out; an id that is asked twice is given twice.
        """
        asked = [check_id(memory_id) for memory_id in ids]
        found = self._ask(partial(views.find_many, ids=asked))
        return [decode_memory(found[memory_id]) for memory_id in asked if memory_id in found]

    def exists(self, memory_id: str) -> bool:
        """Whether there is such a memory."""
        return self._ask(partial(views.has, memory_id=check_id(memory_id)))

    def count(self) -> int:
        """Return how many memories there are."""
        return self._ask(views.count)

    def history(self, memory_id: str) -> list[MemoryChange]:
        """Return everything that happened to a memory, the oldest first; it may be deleted."""
        return self._host.run(partial(MemoryLog.history, memory_id=check_id(memory_id)))

    def memories_at(self, at: int | datetime) -> list[Memory]:
        """Return all memories as they were at a position of the log, or an aware time, by id.

        Raises HistoryGoneError where the log's beginning was trimmed.
        """
        if not isinstance(at, int) and at.tzinfo is None:
            raise InvalidInputError(f"at={at}", "must be a position or an aware time")
        return self._host.run(partial(MemoryLog.memories_at, at=at))

    def subscribe_changes(
        self, *, after: int | Cursor | None = None
    ) -> SharedChanges[MemoryChange]:
        """Follow every logged change, in order: an async iterator for any event loop.

        Without ``after``, which is exclusive, it starts at what :meth:`list_ids` saw last, and
        where that was never called at the end of the log as this returns. Changes may be
        repeated to whoever loads after subscribing, and none is missed.
        """
        return self._host.follow(partial(MemoryLog.subscribe, after=after))

    def close(self) -> None:
        """Finish the calls that run, and release the log and the directory."""
        self._host.close()

    def _ask(self, question: Callable[[Connection], T]) -> T:
        return self._host.run(partial(MemoryLog.ask, question=question))

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._host.closed

    def __enter__(self) -> Self:
        self.count()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
