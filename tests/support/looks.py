"""How often masters look at their directories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.rules.sources._source_reader import SourceReader
from support.waiting import until

if TYPE_CHECKING:
    import pytest

    from projections.rules.sources.reconcile import Verdict


class Looks:
    """How often a directory was looked at."""

    def __init__(self) -> None:
        self.count = 0

    async def more(self, count: int) -> None:
        """Return after so many more looks; the first may have begun before."""
        target = self.count + count
        await until(lambda: self.count >= target)


def counted_looks(monkeypatch: pytest.MonkeyPatch) -> Looks:
    """Count every look of this process from now on."""
    looks = Looks()
    look = SourceReader.look

    def counted(reader: SourceReader, *args: Any) -> Verdict:
        found = look(reader, *args)
        looks.count += 1
        return found

    monkeypatch.setattr(SourceReader, "look", counted)
    return looks
