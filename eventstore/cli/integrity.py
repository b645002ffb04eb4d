"""``verify`` and ``redact``: is the log as it was written, and erasing content from it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import anyio
import msgspec
import typer

from eventstore.cli.contributions import contributions
from eventstore.cli.event_lines import describe, show_event
from eventstore.cli.options import By, DryRun, Yes, user_name
from eventstore.cli.output import without_secrets
from eventstore.cli.session import Session
from eventstore.errors import (
    EventStoreError,
    HistoryDivergedError,
    HistoryGoneError,
    InvalidInputError,
    StorageError,
)
from eventstore.integrity.findings import Finding, Report
from eventstore.log.events import Cursor
from eventstore.log.operations import Query
from eventstore.log.redaction import REDACTIONS
from eventstore.system.secret_url import show_place

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import Event, EventStore
    from eventstore.integrity.verify import Progress


async def verify(
    session: Session,
    *,
    anchor: Annotated[
        str | None,
        typer.Option(help="A cursor kept elsewhere, ID:POSITION:HASH, that the log must contain."),
    ] = None,
    view: Annotated[
        list[str] | None,
        typer.Option(help="Also a projected directory, or tables: sqlite:///FILE. Repeatable."),
    ] = None,
    redactions: Annotated[
        str | None,
        typer.Option(help="URL of the log that this one, an archive of a trim, was taken from."),
    ] = None,
) -> int:
    """Check that nothing in the log was changed; status 1 where something was."""
    cursor = Cursor.parse(anchor) if anchor is not None else None
    report: Report | None = None
    found: list[Finding] = []
    try:
        async with session.open_store() as store:
            later = await _redactions(session, store, redactions) if redactions else ()
            with session.output.progress("verifying") as progress:
                report, found = await check_log(store, cursor, progress, later)
            for place in view or ():
                found += await _check_projections(store, place)
    except StorageError as error:
        if error.transient:
            raise
        found.append(Finding(None, error.where, error.reason))  # Too broken to be opened.
    findings = [*(report.findings if report else ()), *found]
    for finding in findings:
        session.output.value({"finding": without_secrets(asdict(finding))}, str(finding))
    _conclude(session, report, len(findings))
    return 1 if findings else 0


async def check_log(
    store: EventStore,
    anchor: Cursor | None,
    progress: Progress,
    redactions: Sequence[Event] = (),
) -> tuple[Report | None, list[Finding]]:
    """Verify a log; return the report, and what the checks of packages find besides.

    The report is None where the log is too broken to be read to the end, which a finding says.
    Raises StorageError where the database cannot be reached.
    """
    report: Report | None = None
    found: list[Finding] = []
    try:
        report = await store.verify(anchor=anchor, progress=progress, redactions=redactions)
        for check in contributions().log_checks:
            found += await check.load(check.item.path)(store)
    except StorageError as error:
        if error.transient:
            raise
        found.append(Finding(None, error.where, error.reason))
    return report, found


async def _redactions(session: Session, archive: EventStore, url: str) -> Sequence[Event]:
    """Read the redactions of the log that an archive was taken from."""
    settings = msgspec.structs.replace(session.settings, url=url, notify="none")
    async with Session(settings, session.output).open_store() as store:
        if (await store.head()).log_id != (await archive.head()).log_id:
            raise InvalidInputError(f"--redactions {show_place(url)}", "is another log")
        return [event async for event in store.read(streams=REDACTIONS, kept=True)]


def _conclude(session: Session, report: Report | None, count: int) -> None:
    output = session.output
    if report is None:
        output.value({"position": None, "findings": count}, "the log cannot be verified")
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
        total = count + report.more
        output.value(values, f"{text}{total} finding{'' if total == 1 else 's'}{more}")
    else:
        output.value(values, f"{text}all as written")
        output.line(f"anchor: {report.cursor}")


async def _check_projections(store: EventStore, place: str) -> Sequence[Finding]:
    """Find out whether the projections in a directory or a database belong to this log."""
    found: list[Finding] = []
    try:
        checkpoints = await anyio.to_thread.run_sync(_read_checkpoints, place)
    except EventStoreError as error:
        shown = show_place(place)
        return [Finding(None, f"view {shown}", str(error).removeprefix(f"{shown}: "))]
    for name, cursor in checkpoints:
        at = cursor.position
        try:
            await store.feed.page(Query(after=at, until=at, limit=1, expect=cursor))
        except (HistoryDivergedError, HistoryGoneError) as error:
            found.append(Finding(None, f"view {name!r} in {show_place(place)}", str(error)))
    return found


def _read_checkpoints(place: str) -> Sequence[tuple[str, Cursor]]:
    scheme = place.partition("://")[0] if "://" in place else ""
    known = contributions().checkpoints
    if scheme not in known:
        schemes = ", ".join(f"{name}://" if name else "a directory" for name in known)
        raise InvalidInputError("its place", f"is of no kind that is known: {schemes or 'none'}")
    contribution = known[scheme]
    read = contribution.load(contribution.item.path)
    checkpoints: Sequence[tuple[str, Cursor]] = read(place)
    return checkpoints


async def _event_at(store: EventStore, position: int) -> Event:
    """Return the event at a position; raise InvalidInputError where there is none."""
    if 0 < position <= (await store.head()).position:
        async for event in store.read(after=position - 1, until=position, kept=True):
            return event
    raise InvalidInputError(f"position {position}", "no event is there")


async def redact(
    session: Session,
    position: Annotated[int, typer.Argument(min=1, help="The event's position.")],
    *,
    reason: Annotated[
        str | None,
        typer.Option(help="Why; it is kept for ever. Needed unless --dry-run is given."),
    ] = None,
    by: By = None,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Erase the content of one event for good; the event itself stays in the log."""
    output = session.output
    if reason is None and not dry_run:
        raise typer.BadParameter("--reason is missing: say why; it is kept for ever")
    async with session.open_store() as store:
        if dry_run or (not yes and output.can_ask):
            event = await _event_at(store, position)
            if dry_run:
                values = {"dry_run": True, "event": event.to_dict()}
                output.value(values, f"would erase for good: {describe(event)}")
                return
            output.ask(f"{describe(event)}. Erase its content for good?")
        done = await store.redact(position, reason or "", user_name(by))
        async for event in store.read(after=done.position - 1, until=done.position):
            show_event(output, event, duplicate=done.duplicate)
    if done.duplicate:
        session.output.note(f"note: the event at position {position} was redacted before")
