"""The places where memories are kept, and any memory that may be kept there."""

from __future__ import annotations

import json
import string
from typing import TYPE_CHECKING, Any, Final

from hypothesis import strategies as st

from projections.memories import Domain, Memory, MemoryStore, Namespace, Status
from support.logs import LOG_URLS

if TYPE_CHECKING:
    from pathlib import Path

KINDS: Final = ("sqlite", "memory", "postgresql", "files")
LASTING: Final = ("sqlite", "postgresql", "files")
"""Those that are still there once the store is closed."""


class Place:
    """Somewhere to keep memories; ``open`` may be called again, also while one is open."""

    def __init__(self, kind: str, where: Path) -> None:
        self.kind = kind
        self.where = where
        self.directory = where / "memories" if kind == "files" else None
        self.url = LOG_URLS["sqlite" if kind == "files" else kind](where)

    def open(self, **options: Any) -> MemoryStore:
        """Return a store; it opens at its first use."""
        return MemoryStore(self.url, directory=self.directory, **options)

    def files(self) -> dict[str, Any]:
        """Return what the files say, by the ids that they say."""
        assert self.directory is not None
        found = [json.loads(path.read_bytes()) for path in self.directory.glob("*.json")]
        assert all("content" in one for one in found), "only memories match the pattern"
        memories = {one["id"]: one for one in found}
        assert len(memories) == len(found)
        return memories


def some(memory_id: str = "m-1", content: str = "tests run on Fridays", **fields: Any) -> Memory:
    """Return a memory of which little matters."""
    fields.setdefault("created_at", 1_700_000_000)
    fields.setdefault("updated_at", 1_700_000_000.25)
    return Memory(memory_id, content, fields.pop("namespace", Namespace.LEARNINGS), **fields)


def exact(value: Any) -> str:
    """Return a value so that equal texts mean the same value, sign, type and last bit."""
    return repr(value)


IDS: Final = st.text(string.ascii_letters + string.digits + "-_", min_size=1, max_size=255)
TEXTS: Final = st.text(
    st.characters(codec="utf-8") | st.sampled_from('\0\x01\x1f\x7f\ufeff\uffff\u2028\\"/𝄞🜚'),
    max_size=40,
)
NUMBERS: Final = (
    st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([-0.0, 0, 5e-324, 2.2250738585072014e-308, 1e308, 2**53 + 1, 0.1])
)
MEMORIES: Final = st.builds(
    Memory,
    id=IDS,
    content=TEXTS,
    namespace=st.sampled_from(Namespace),
    domain=st.builds(Domain, *[st.none() | TEXTS] * 3),
    project_id=st.none() | TEXTS,
    branch=st.none() | TEXTS,
    file_path=st.none() | TEXTS,
    status=st.sampled_from(Status),
    created_at=NUMBERS,
    updated_at=NUMBERS,
    tombstoned_at=st.none() | NUMBERS,
    expires_at=st.none() | NUMBERS,
    embedding=st.none() | st.lists(NUMBERS, max_size=8),
    tags=st.lists(TEXTS, max_size=4),
    source=st.none() | TEXTS,
    is_summary=st.booleans(),
    source_memory_ids=st.none() | st.lists(IDS, max_size=3),
    consolidation_timestamp=st.none() | NUMBERS,
)
