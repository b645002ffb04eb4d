"""Memories: what assistants keep for the long term, each change an event."""

from projections.memories.factory import get_memory_store
from projections.memories.model import Domain, Memory, MemoryChange, Namespace, Status
from projections.memories.protocol import MemoryStoreProtocol
from projections.memories.store import MemoryStore
from projections.memories.tables import MemoryTables

__all__ = [
    "Domain",
    "Memory",
    "MemoryChange",
    "MemoryStore",
    "MemoryStoreProtocol",
    "MemoryTables",
    "Namespace",
    "Status",
    "get_memory_store",
]
