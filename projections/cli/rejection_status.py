"""The section ``rejections`` of ``status``: which files are rejected now, and since when."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from eventstore.cli.manifest import StatusEntry
from projections.cli.rejected_lines import show_rejected
from projections.rules.standing_rules import read_rejections

if TYPE_CHECKING:
    from eventstore import EventStore
    from projections.rules.standing_rules import StandingRejection


async def rejections(store: EventStore) -> list[StatusEntry]:
    """Return an entry for each file that is rejected, by source and age, the oldest first."""
    entries = []
    now = datetime.fromtimestamp(store.clock() / 1e6, UTC)
    for source, files in sorted((await read_rejections(store)).items()):
        ordered = sorted(files.items(), key=lambda item: item[1].position)
        entries += [_entry(source, path, found, now) for path, found in ordered]
    return entries


def _entry(source: str, path: str, found: StandingRejection, now: datetime) -> StatusEntry:
    seconds = max(0, int((now - found.since).total_seconds()))
    values: dict[str, object] = {
        "source": source,
        "path": path,
        "line": found.line,
        "reason": found.reason,
        "since": found.since.isoformat(),
        "seconds": seconds,
    }
    shown = show_rejected(path, found.line, found.reason)
    text = f"rejected in source {source} for {_age(seconds)}: {shown}"
    return StatusEntry(f"{source}: {path}", values, text, f"is rejected: {found.reason}")


def _age(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"
