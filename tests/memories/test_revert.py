"""A memory as it was, with its file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.memories import Memory, MemoryStore

if TYPE_CHECKING:
    from pathlib import Path


def test_a_memory_is_restored_with_its_file(tmp_path: Path) -> None:
    made: dict[str, Any] = {"namespace": "decisions", "created_at": 1.0, "updated_at": 1.0}
    url = f"sqlite:///{tmp_path}/log.db"
    with MemoryStore(url, directory=tmp_path / "files") as memories:
        memories.store(Memory("m1", "first", **made))
        memories.store(Memory("m1", "second", **made))
        memories.delete("m1")
        assert memories.revert("m1", 1, reason="why")
        found = memories.get("m1")
        assert found is not None
        assert found.content == "first"
        assert any("first" in path.read_text() for path in (tmp_path / "files").rglob("*.json"))
        assert not memories.revert("m1", 1)
        assert memories.revert("m1", 3)
        assert memories.get("m1") is None
