"""The store of memories: synchronous, for any thread, what assistants remember."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from eventstore.errors import InvalidInputError
from eventstore.system.contexts import BlockingContext
from projections.memories import queries
from projections.memories._async_store import AsyncMemoryStore
from projections.memories.events import MEMORIES, decode_memory, encode_memory
from projections.memories.model import is_id
from projections.seams.background_store import BackgroundStore

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from datetime import datetime
    from typing import Self

    from eventstore import Cursor
    from eventstore.storage.driver import Query
    from projections.memories.model import Memory, MemoryChange
    from projections.seams.background_store import BackgroundChanges

RETRY_SECONDS: Final = 30.0
"""For how long transient errors of the database are retried."""


class MemoryStore(BlockingContext):
    """Memories in a log, for threads: every method blocks, and any thread may call any of them.

    ``url`` names the log: ``sqlite:///memories.db``, ``postgresql://…`` or ``memory://``. With
    ``directory`` there is also a JSON file for each memory, written before ``store`` returns.
    ``by`` names the writer in each event; by default that is the process. ``options`` are
    those of ``EventStore.open``. It opens at its first use, or with :meth:`open` or ``with``,
    with the one background event loop of the process; a forked child opens it anew.

    What a call has written, every later call of any thread and process reads. A write that
    raised left nothing behind, except that after a StorageError that is ``transient`` it may
    have been stored, whole. Lost connections and timeouts of the database are retried for
    ``retry_seconds``, then raised as StorageError. Ids are 1 to 255 ASCII letters, digits,
    ``-`` and ``_``; every method raises InvalidInputError, a ValueError, for another one.
    Returned memories are copies. After ``close`` every call raises StoreClosedError.
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
            AsyncMemoryStore,
            url,
            directory=directory,
            by=by,
            retry_seconds=retry_seconds,
            **options,
        )
        self._then = None if directory is None else AsyncMemoryStore.write_files
        make()  # Names what is wrong with the arguments at once; nothing is opened.
        self._background = BackgroundStore(
            make, "the store of memories", reopenable=url != "memory://"
        )

    def store(self, memory: Memory) -> None:
        """Store a memory, and replace the one with the same id.

        Returns once it is durable. Raises InvalidInputError, naming the field, before anything
        is written: for a bad id, for what JSON cannot hold exactly (NaN, infinities), for lone
        surrogates; LimitExceededError for more than 16 MB.
        """
        # Encoded here and now: what the caller changes afterwards changes nothing.
        data = encode_memory(memory)
        self._background.here(lambda store: store.store(MEMORIES + data["id"], data), self._then)

    def get(self, memory_id: str) -> Memory | None:
        """Return a memory, ``None`` where there is none, or its id could be none."""
        if not is_id(memory_id):
            return None
        rows = self._ask(queries.find(memory_id), brief=True)
        return decode_memory(rows[0][0]) if rows else None

    def delete(self, memory_id: str) -> bool:
        """Delete a memory; True for the one caller that deleted it.

        Its history stays, and storing the id again is allowed.
        """
        if not is_id(memory_id):
            return False
        gone = self._background.here(lambda store: store.delete(memory_id), self._then)
        return gone is not None

    def list_ids(self) -> list[str]:
        """Return the ids of all memories, sorted; the next subscription starts from there."""
        return self._background.here(AsyncMemoryStore.list_ids)

    def get_batch(self, ids: Iterable[str]) -> list[Memory]:
        """Return several memories in the order asked, by one query, all as of one moment.

        Those that are missing are left out; an id that is asked twice is given twice.
        """
        asked = [memory_id for memory_id in ids if is_id(memory_id)]
        found = dict(self._background.here(lambda store: store.find_many(asked)))
        return [decode_memory(found[memory_id]) for memory_id in asked if memory_id in found]

    def exists(self, memory_id: str) -> bool:
        """Whether the memory is stored."""
        return is_id(memory_id) and bool(self._ask(queries.has(memory_id), brief=True))

    def count(self) -> int:
        """Return the number of memories."""
        count: int = self._ask(queries.COUNT)[0][0]
        return count

    def history(self, memory_id: str) -> list[MemoryChange]:
        """Return all changes of a memory, the oldest first; it may be deleted since.

        In a log that was trimmed they begin with what the trim kept of it.
        """
        if not is_id(memory_id):
            return []
        return self._background.run(partial(AsyncMemoryStore.history, memory_id=memory_id))

    def memories_at(self, at: int | datetime) -> list[Memory]:
        """Return all memories as they were at a position of the log, or an aware time, by id.

        Raises HistoryGoneError where a trim removed what would say it.
        """
        if not isinstance(at, int) and at.tzinfo is None:
            raise InvalidInputError(f"at={at}", "must be a position or an aware time")
        return self._background.run(partial(AsyncMemoryStore.memories_at, at=at))

    def revert(
        self,
        memory_id: str,
        to: int | datetime | str,
        *,
        reason: str = "",
        by: str | None = None,
    ) -> bool:
        """Restore a memory as it was at a moment; True where something differed.

        One event stores it as it was then, or deletes it where it was not stored. ``to`` is a
        moment (:mod:`eventstore.moments`). Raises MomentError, HistoryGoneError where a trim
        removed what stood then, ConflictError where it changes meanwhile.
        """
        return self._background.run(
            partial(AsyncMemoryStore.revert, memory_id=memory_id, to=to, reason=reason, by=by)
        )

    def subscribe_changes(
        self, *, after: int | Cursor | None = None
    ) -> BackgroundChanges[MemoryChange]:
        """Follow every logged change, in order: an async iterator for any event loop.

        It starts after ``after``, by default after what :meth:`list_ids` read last, or at the
        end of the log where that was never called. A caller that loads after subscribing may
        get changes that it has loaded, and misses none.
        """
        return self._background.follow(partial(AsyncMemoryStore.subscribe, after=after))

    def close(self) -> None:
        """Wait for running calls, then release the log and the directory."""
        self._background.close()

    def _ask(self, query: Query, *, brief: bool = False) -> list[tuple[Any, ...]]:
        return self._background.here(lambda store: store.ask(query, brief=brief))

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._background.closed

    def open(self) -> Self:
        """Open the log and the directory now rather than at the first use."""
        self.count()
        return self
