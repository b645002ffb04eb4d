"""The commands that check a log, and that erase what it must not hold any longer."""

from __future__ import annotations

import getpass
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import anyio

from eventstore.cli.render import describe
from eventstore.errors import (
    ConfigError,
    EventStoreError,
    HistoryDivergedError,
    HistoryGoneError,
    StorageError,
)
from eventstore.integrity.checks import Finding, Report
from eventstore.log.events import Cursor
from eventstore.log.operations import Query
from eventstore.storage.sqlite.backend import log_file
from projections.directory import read_tree
from projections.tables.followed import read_cursors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import EventStore
    from eventstore.cli.run import Session


async def verify(session: Session, anchor: str | None, views: Sequence[str]) -> bool:
    """Check the log and the views; print what was found, return whether it was nothing."""
    cursor = Cursor.parse(anchor) if anchor is not None else None
    _refuse_missing(session.settings.url)
    report, found = None, []
    try:
        async with session.open_store() as store:
            report = await _verify(session, store, cursor)
            for view in views:
                found += await _check_view(store, view)
    except StorageError as error:
        if error.transient:
            raise
        # Too broken to be opened, or to be read to the end.
        found.append(Finding(None, error.where, error.reason))
    findings = [*(report.findings if report else ()), *found]
    for finding in findings:
        session.show({"finding": asdict(finding)}, str(finding))
    _conclude(session, report, len(findings))
    return not findings


async def _verify(session: Session, store: EventStore, anchor: Cursor | None) -> Report:
    with session.progress("verifying") as bar:
        task = bar.add_task("events", total=None)
        return await store.verify(
            anchor=anchor,
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def _conclude(session: Session, report: Report | None, count: int) -> None:
    if report is None:
        session.show({"position": None, "findings": count}, "the log cannot be verified")
        return
    values = {
        "position": report.position,
        "events": report.events,
        "findings": count + report.more,
        "anchor": str(report.cursor),
    }
    more = f", the last {report.more} not shown" if report.more else ""
    text = f"{report.events} events up to position {report.position}: "
    if count:
        session.show(values, f"{text}{count + report.more} findings{more}")
    else:
        session.show(values, f"{text}all as written")
        session.say(f"anchor: {report.cursor}")


def _refuse_missing(url: str) -> None:
    """Refuse a log that is not there: opening would make an empty one, which is in order."""
    path = log_file(url)
    if path is not None and not path.exists():
        raise ConfigError(f"{path} is not there: name the log that is to be verified")


async def _check_view(store: EventStore, view: str) -> list[Finding]:
    """Find out whether a projected directory, or tables, belong to this log."""
    found: list[Finding] = []
    try:
        cursors = await anyio.to_thread.run_sync(_view_cursors, view)
    except EventStoreError as error:
        return [Finding(None, f"view {view}", str(error))]
    for name, cursor in cursors:
        at = cursor.position
        try:
            await store.feed.page(Query(after=at, until=at, limit=1, expect=cursor))
        except (HistoryDivergedError, HistoryGoneError) as error:
            found.append(Finding(None, f"view {name!r} in {view}", str(error)))
    return found


def _view_cursors(view: str) -> list[tuple[str, Cursor]]:
    if "://" in view:
        return read_cursors(view)
    cursor, _ = read_tree(Path(view))
    return [("directory", cursor)]


async def redact(session: Session, position: int, reason: str, by: str | None) -> None:
    """Erase an event's content and show the event that says so."""
    async with session.open_store() as store:
        done = await store.redact(position, reason, by or getpass.getuser())
        async for event in store.read(after=done.position - 1, until=done.position):
            session.show({**event.to_dict(), "duplicate": done.duplicate}, describe(event))
    if done.duplicate:
        session.note(f"note: the event at position {position} was redacted before")
