"""Memories as files: one JSON file for each, in a directory beside the log."""

from __future__ import annotations

import logging
import os
from contextlib import AsyncExitStack, suppress
from hashlib import sha256
from random import uniform
from typing import TYPE_CHECKING, Final

import anyio
import msgspec

from projections.directory import DirectoryProjection, FileChange
from projections.directory.manifest import MANIFEST
from projections.directory.path_claims import PRIVATE
from projections.memories.events import MEMORIES, MEMORY_DELETED, MEMORY_STORED, read_memory
from projections.protocol import ProjectionBusyError
from projections.runner import ProjectionRunner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore import Cursor, Event, EventStore

log = logging.getLogger(__name__)

PLAIN_CHARACTERS: Final = 200
"""The longest id that is a file's name as it is: names have 255 bytes at the most."""

HOLD_SECONDS: Final = 5.0
"""How long the directory stays this process's after a write, where no other wants it: to own it
anew, its whole manifest is read."""

ASK_SECONDS: Final = 0.05
"""How often the process that has the directory looks whether another one wants it."""

WANTED: Final = f"{PRIVATE}-wanted"
"""The file by which a process says that it waits for the directory."""

BUSY_SECONDS: Final = 30.0
"""How long another process may have the directory without bringing it to where it has to be."""

LOOK_SECONDS: Final = 0.01
"""How often a process that waits for another one's turn looks how far that has come."""


def file_name(memory_id: str) -> str:
    """Return the name of a memory's file: ``ID.json`` for all short ids in lower case.

    File systems that take capitals for small letters would take ``A`` and ``a`` for one file,
    and no name holds 255 characters and a suffix: other ids are followed by ``~`` and the
    beginning of their SHA-256. Which file systems are asked plays no part, so a directory may
    be moved.
    """
    if len(memory_id) <= PLAIN_CHARACTERS and memory_id == memory_id.lower():
        return f"{memory_id}.json"
    digest = sha256(memory_id.encode()).hexdigest()[:32]
    return f"{memory_id[:PLAIN_CHARACTERS]}~{digest}.json"


def memory_file(event: Event) -> FileChange | None:
    """Return what an event means for the directory; ``None`` where it means nothing."""
    if not event.stream.startswith(MEMORIES):
        return None
    if event.redacted or event.type == MEMORY_DELETED:
        return FileChange(event.stream, None, None)
    if event.type != MEMORY_STORED or (memory := read_memory(event)) is None:
        return None
    return FileChange(event.stream, file_name(memory.id), (event.raw_data or b"") + b"\n")


def memory_directory(root: str | os.PathLike[str]) -> DirectoryProjection:
    """Return the directory that has a file for each memory, as a view to be run or rebuilt."""
    return DirectoryProjection(root, name="memories", files=memory_file)


class MemoryFiles:
    """Keeps the directory at the head of the log whenever somebody asks for it.

    One process at a time has the directory, and brings it to the head for all: a process
    that has to wait is done once the published position is far enough, or takes its turn.
    """

    def __init__(self, store: EventStore, root: str | os.PathLike[str]) -> None:
        self._directory = memory_directory(root)
        self._runner = ProjectionRunner(store, self._directory)
        self._turn = anyio.Lock()
        self._wanted = self._directory.root / WANTED
        self._used = anyio.Event()
        self._used_at = 0.0
        self._holding: AsyncExitStack | None = None
        self._advance: Callable[[], Awaitable[Cursor]]
        self._at = 0
        self._told: set[int] = set()

    async def heal(self, position: int) -> None:
        """Bring the directory to the head, and back what is missing or was changed.

        Where another process has it, that one has seen to it: only waits until ``position``.
        """
        try:
            async with self._turn:
                self._at = (await self._runner.catch_up()).position
        except ProjectionBusyError:
            await self.reach(position)

    async def reach(self, position: int) -> None:
        """Return once the files are as of ``position`` or later.

        Raises what :class:`~projections.DirectoryProjection` raises where the files cannot
        be written, ProjectionBusyError too where another process has the directory for long.
        The log is not concerned: they are brought up with the next call.
        """
        async with self._turn:
            deadline = anyio.current_time() + BUSY_SECONDS
            while self._at < position:
                try:
                    await self._bring()
                except ProjectionBusyError:
                    self._at = await anyio.to_thread.run_sync(self._look)
                    if self._at < position:
                        if anyio.current_time() >= deadline:
                            raise
                        await anyio.sleep(uniform(0, 2 * LOOK_SECONDS))  # noqa: S311 - no secret

    async def let_go(self) -> None:
        """Leave the directory to others that want it, or if it is not used; endless."""
        while True:
            await self._used.wait()
            while self._holding is not None:
                await anyio.sleep(ASK_SECONDS)
                idle = anyio.current_time() - self._used_at
                if idle >= HOLD_SECONDS or self._wanted.is_file():
                    await self.close()
            self._used = anyio.Event()

    async def close(self) -> None:
        """Leave the directory to others now."""
        async with self._turn:
            await self._release()

    async def _bring(self) -> None:
        try:
            if self._holding is None:
                holding = AsyncExitStack()
                self._advance = await holding.enter_async_context(self._runner.held())
                self._holding = holding
            self._at = (await self._advance()).position
        except BaseException:
            await self._release()
            raise
        self._used.set()
        self._used_at = anyio.current_time()
        self._tell()

    async def _release(self) -> None:
        holding, self._holding = self._holding, None
        if holding is not None:
            with suppress(OSError):
                self._wanted.unlink(missing_ok=True)
            await holding.aclose()

    def _tell(self) -> None:
        for position, reason in ((one.position, one.reason) for one in self._directory.set_aside):
            if position not in self._told:
                self._told.add(position)
                log.warning("the memory stored at position %d has no file: %s", position, reason)

    def _look(self) -> int:
        """Say that the directory is wanted; return the position that it is at."""
        flags = os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            os.close(os.open(self._wanted, flags, 0o666))
            raw = (self._directory.root / MANIFEST).read_bytes()
            return msgspec.json.decode(raw, type=_Published).position
        except (OSError, msgspec.MsgspecError):
            return 0  # It is made anew; whoever has the directory sees to it.


class _Published(msgspec.Struct):
    position: int
