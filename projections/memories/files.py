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

from eventstore.system.safe_files import open_regular, read_regular
from projections.directory import DirectoryProjection, FileChange, commit_journal
from projections.directory.content import FunctionContent
from projections.directory.manifest import INTENT, MANIFEST
from projections.directory.path_claims import PRIVATE
from projections.memories.events import MEMORIES, MEMORY_DELETED, MEMORY_STORED, read_memory
from projections.protocol import ProjectionBusyError
from projections.runner import ProjectionRunner

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from eventstore import Cursor, Event, EventStore

log = logging.getLogger(__name__)

PLAIN_CHARACTERS: Final = 200
"""The longest id that is a file's name unchanged; names have up to 255 bytes."""

HOLD_SECONDS: Final = 5.0
"""How long a process owns the directory after a write, unless another one requests it. Owning it
again reads its whole manifest."""

CHECK_SECONDS: Final = 0.05
"""Time between two checks of the owner for a request of another process."""

WANTED: Final = f"{PRIVATE}-wanted"
"""The file by which a process requests the directory from its owner."""

PRIVATE_NAMES: Final = {MANIFEST: f"{PRIVATE}-manifest", INTENT: f"{PRIVATE}-intent"}
"""The projection's own files, so that ``*.json`` matches memories and nothing else."""

BUSY_SECONDS: Final = 30.0
"""How long another process may own the directory before a write that waits for it raises."""

POLL_SECONDS: Final = 0.01
"""Mean time between two reads of the published position, while another process is the owner."""


def file_name(memory_id: str) -> str:
    """Return the name of a memory's file: ``ID.json`` for all short ids in lower case.

    Other ids are followed by ``~`` and the beginning of their SHA-256: some file systems
    ignore case, so that ``A`` and ``a`` would be one file, and no name holds 255 characters
    and a suffix. The name is the same on every file system, so a directory may be moved.
    """
    if len(memory_id) <= PLAIN_CHARACTERS and memory_id == memory_id.lower():
        return f"{memory_id}.json"
    digest = sha256(memory_id.encode()).hexdigest()[:32]
    return f"{memory_id[:PLAIN_CHARACTERS]}~{digest}.json"


def memory_file(event: Event) -> FileChange | None:
    """Return the change that an event makes to the directory; ``None`` for none."""
    if not event.stream.startswith(MEMORIES):
        return None
    if event.redacted or event.type == MEMORY_DELETED:
        return FileChange(event.stream, None, None)
    if event.type != MEMORY_STORED or (memory := read_memory(event)) is None:
        return None
    return FileChange(event.stream, file_name(memory.id), (event.raw_data or b"") + b"\n")


class _MemoryContent(FunctionContent):
    """The content of a directory of memories, which is what trims keep of them."""

    from_snapshot = True
    named_by_trims = True


def memory_directory(root: str | os.PathLike[str]) -> DirectoryProjection:
    """Return the directory projection that has a file for each memory."""
    return DirectoryProjection(
        root,
        name="memories",
        files=_MemoryContent(memory_file),
        private_names=PRIVATE_NAMES,
        journal=True,
        names_later=True,
    )


class MemoryFiles:
    """Brings the directory to the head of the log before a write returns.

    One process at a time owns the directory, and brings it to the head for all. A process that
    waits is done once the published position is far enough, or becomes the owner.
    """

    def __init__(self, store: EventStore, root: str | os.PathLike[str]) -> None:
        self._directory = memory_directory(root)
        self._runner = ProjectionRunner(store, self._directory)
        self._lock = anyio.Lock()
        self._wanted = self._directory.root / WANTED
        self._used = anyio.Event()
        self._used_at = 0.0
        self._ownership: AsyncExitStack | None = None
        self._advance: Callable[[], Awaitable[Cursor]]
        self._at = 0
        self._warned: set[int] = set()

    async def heal(self, position: int) -> None:
        """Bring the directory to the head, and restore files that are missing or were changed.

        Where another process owns the directory, that one has healed it: this one only waits
        until it is at ``position``.
        """
        try:
            async with self._lock:
                self._at = (await self._runner.catch_up()).position
        except ProjectionBusyError:
            await self.catch_up(position)

    async def catch_up(self, position: int) -> None:
        """Return once the files are as of ``position`` or later.

        Raises what :class:`~projections.DirectoryProjection` raises where the files cannot
        be written, and ProjectionBusyError where another process owns the directory for too
        long. The log is not affected: the next call writes the files.
        """
        async with self._lock:
            deadline = anyio.current_time() + BUSY_SECONDS
            while self._at < position:
                try:
                    await self._advance_to_head()
                except ProjectionBusyError:
                    self._at = await anyio.to_thread.run_sync(self._request)
                    if self._at < position:
                        if anyio.current_time() >= deadline:
                            raise
                        await anyio.sleep(uniform(0, 2 * POLL_SECONDS))  # noqa: S311 - no secret

    async def release_when_wanted(self) -> None:
        """Release the directory when another process requests it, or unused; runs for ever."""
        while True:
            await self._used.wait()
            while self._ownership is not None:
                await anyio.sleep(CHECK_SECONDS)
                idle = anyio.current_time() - self._used_at
                if idle >= HOLD_SECONDS or self._wanted.is_file():
                    await self.close()
            self._used = anyio.Event()

    async def close(self) -> None:
        """Release the directory now."""
        async with self._lock:
            await self._release()

    async def _advance_to_head(self) -> None:
        try:
            if self._ownership is None:
                ownership = AsyncExitStack()
                self._advance = await ownership.enter_async_context(self._runner.held())
                self._ownership = ownership
            self._at = (await self._advance()).position
        except BaseException:
            await self._release()
            raise
        self._used.set()
        self._used_at = anyio.current_time()
        self._warn_without_file()

    async def _release(self) -> None:
        ownership, self._ownership = self._ownership, None
        if ownership is not None:
            with suppress(OSError):
                self._wanted.unlink(missing_ok=True)
            await ownership.aclose()

    def _warn_without_file(self) -> None:
        for position, reason in ((one.position, one.reason) for one in self._directory.set_aside):
            if position not in self._warned:
                self._warned.add(position)
                log.warning("the memory stored at position %d has no file: %s", position, reason)

    def _request(self) -> int:
        """Request the directory; return the position that it has published."""
        try:
            os.close(open_regular(self._wanted, os.O_WRONLY | os.O_CREAT))
            # The journal first: the manifest that it continues is then there, or a newer one.
            journal = commit_journal.decode(_read(self._directory.root / commit_journal.JOURNAL))
            raw = read_regular(self._directory.root / PRIVATE_NAMES[MANIFEST])
            at = msgspec.json.decode(raw, type=_Published).position
        except (OSError, msgspec.MsgspecError, RecursionError):
            return 0  # Its owner is creating it.
        lines = [] if journal is None else journal.lines_after(manifest=raw)
        return max([at, *(line.position for line in lines)])


def _read(path: Path) -> bytes | None:
    try:
        return read_regular(path)
    except FileNotFoundError:
        return None


class _Published(msgspec.Struct):
    position: int
