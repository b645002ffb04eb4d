"""``project --check``: what differs between a projected directory and the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread

from eventstore.cli.output import without_secrets
from eventstore.log.operations import Query
from eventstore.system.printable import escape_path
from projections.directory.drift import Drift, ExpectedFiles, find_drift, published_cursor
from projections.rules.rule_files import RULE_FILES
from projections.runner import ProjectionRunner

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import Cursor, EventStore
    from eventstore.cli.session import Session

LOOKS: Final = 50
"""How often a directory is looked at that changes meanwhile."""

pause: Final = anyio.sleep
"""Waits between two looks; a test that goes on meanwhile puts its own in the place."""

PAUSE_SECONDS: Final = 0.2


async def check_directory(session: Session, store: EventStore, directory: Path) -> int:
    """Report how a directory differs from the log; return 1 where it does, 0 where not."""
    output = session.output
    with output.progress(f"checking {directory}") as progress:
        expected = ExpectedFiles(RULE_FILES)
        runner = ProjectionRunner(store, expected, progress=progress)
        cursor, found = await _settled(store, runner, expected, directory)
    for drift in found:
        file = escape_path(f"{directory}/{drift.path}")
        output.value(
            {"file": file, "drift": drift.kind, "reason": drift.reason},
            f"{file}: {drift.kind}: {drift.reason}",
        )
    count, files = len(found), len(expected.files)
    totals = {
        "directory": without_secrets(str(directory)),
        "position": cursor.position,
        "files": files,
        "drift": count,
    }
    text = f"{directory} is what the log says at position {cursor.position}: {files} files"
    output.value(totals, None if count else text)
    if count:
        differs = f"{count} path{' differs' if count == 1 else 's differ'}"
        output.note(f"{differs} from the log at position {cursor.position}")
    return 1 if count else 0


async def _settled(
    store: EventStore, runner: ProjectionRunner, expected: ExpectedFiles, directory: Path
) -> tuple[Cursor, list[Drift]]:
    """Return what differs, at the same position and the same in two looks, or nothing."""
    before: tuple[Cursor, list[Drift]] | None = None
    for _ in range(LOOKS):
        cursor = await anyio.to_thread.run_sync(published_cursor, directory)
        if before is None or before[0] != cursor:
            at = cursor.position
            await store.feed.page(Query(after=at, until=at, limit=1, expect=cursor))
            await runner.catch_up(until=at)
        found = await anyio.to_thread.run_sync(find_drift, directory, expected.files)
        if not found or (cursor, found) == before:
            return cursor, found
        before = cursor, found
        await pause(PAUSE_SECONDS)
    assert before is not None  # noqa: S101 - it is set in each turn
    return before
