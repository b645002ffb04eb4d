"""The interface of a store of memories, for callers that name no implementation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from projections.memories.model import Memory


@runtime_checkable
class MemoryStoreProtocol(Protocol):
    """Memories by their ids; :class:`~projections.memories.MemoryStore` has it."""

    def store(self, memory: Memory) -> None:
        """Store a memory, and replace the one with the same id."""

    def get(self, memory_id: str) -> Memory | None:
        """Return a memory, ``None`` where there is none."""

    def delete(self, memory_id: str) -> bool:
        """Delete a memory; True if it was stored."""

    def list_ids(self) -> list[str]:
        """Return the ids of all memories."""

    def get_batch(self, ids: Iterable[str]) -> list[Memory]:
        """Return several memories; those that are missing are left out."""

    def exists(self, memory_id: str) -> bool:
        """Whether the memory is stored."""

    def count(self) -> int:
        """Return the number of memories."""
