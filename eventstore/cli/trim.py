"""``trim``: the oldest events go into an archive, and what projections need of them stays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from eventstore.archive.keepers import read_needs
from eventstore.cli.options import By, DryRun, Yes, user_name
from eventstore.cli.output import without_secrets
from eventstore.cli.session import Session
from eventstore.cli.times import now, show_stored_time, show_time
from eventstore.errors import InvalidInputError
from eventstore.system.time_text import parse_duration, parse_time, shifted, show_age

if TYPE_CHECKING:
    from eventstore.archive.trim import Trimmed
    from eventstore.store.event_store import EventStore


@dataclass(frozen=True, slots=True)
class TrimOptions:
    """What :meth:`EventStore.trim` is told, beside the place."""

    archive: Annotated[
        Path | None,
        typer.Option(help="The archive of the trimmed events; default beside the log's file."),
    ] = None
    reason: Annotated[str, typer.Option(help="Why.")] = ""
    by: By = None
    forgo_rebuild: Annotated[
        list[str] | None,
        typer.Option(
            metavar="VIEW",
            help="A view that may be computed again from the archives only; may be given again.",
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Also what consumers have not seen, and views need.")
    ] = False


async def trim(
    session: Session,
    *,
    before: Annotated[
        str,
        typer.Option(
            help="A position, a time such as 2026-01-31T12:00+00:00, or an age such as 90d.",
        ),
    ],
    options: TrimOptions,
    dry_run: DryRun = False,
    yes: Yes = False,
) -> None:
    """Archive the oldest events and remove them; what projections need of them is kept."""
    place = _parse_before(before)
    read_needs(None)  # Where a package cannot be asked, the log is not looked at.
    async with session.open_store() as store:
        await _check_before(store, place, before)
        go = partial(_trim, session, store, place, options)
        if dry_run or (not yes and session.output.can_ask):
            planned = await go(dry=True)
            if dry_run:
                _show(session, planned, before, dry=True)
                return
            if planned.events:
                session.output.ask(f"{_plan(planned)}. Trim the log?")
        _show(session, await go(dry=False), before, dry=False)


async def _trim(
    session: Session, store: EventStore, place: int | datetime, options: TrimOptions, *, dry: bool
) -> Trimmed:
    with session.output.progress("reading" if dry else "archiving") as progress:
        return await store.trim(
            place,
            archive=options.archive,
            reason=options.reason,
            by=user_name(options.by),
            forgo_rebuild=options.forgo_rebuild or (),
            force=options.force,
            dry_run=dry,
            progress=progress,
        )


def _show(session: Session, done: Trimmed, before: str, *, dry: bool) -> None:
    values = without_secrets(msgspec.structs.asdict(done))
    if not done.events:
        text = (
            f"nothing to trim: no whole commit from {done.first_position} on lies before {before}"
        )
    elif dry:
        values.update(dry_run=True)
        text = _plan(done)
    else:
        text = (
            f"{done.events} events are in {done.archive}, {done.kept} of what went are kept; "
            f"the log starts at {done.first_position}"
        )
    text += _times(done)
    session.output.value(values, text)


def _times(done: Trimmed) -> str:
    """Return what a result says of times: that of the last event that went, and a clock's fault."""
    last = f"; the last that went is of {show_stored_time(done.recorded_at)}" if done.events else ""
    if not done.ahead_seconds:
        return last
    return (
        f"{last}; recorded times are {show_age(done.ahead_seconds)} ahead of the clock, which was "
        "once set ahead: what was appended since has no time of its own, so give a position"
    )


def _plan(planned: Trimmed) -> str:
    return (
        f"{planned.events} events would go into {planned.archive}, {planned.kept} of what goes "
        f"would be kept; the log would start at {planned.first_position}"
    )


async def _check_before(store: EventStore, place: int | datetime, given: str) -> None:
    """Refuse a place that the log does not reach: a mistake that would take all, or nothing."""
    head = await store.head()
    if isinstance(place, int):
        if place > head.position + 1:
            raise InvalidInputError("--before", f"{given} is beyond the head, {head.position}")
        if place < head.first_position:
            first = head.first_position
            raise InvalidInputError("--before", f"{given} is before the first event, {first}")
        return
    if place > now():
        raise InvalidInputError("--before", f"{given} is in the future")
    async for event in store.read(after=head.first_position - 1, limit=1):
        if place < event.recorded_at:
            first_time = show_time(event.recorded_at)
            late = " (ahead of the clock: give a position)" if event.recorded_at > now() else ""
            reason = f"{given} is before the first event, {first_time}{late}"
            raise InvalidInputError("--before", reason)


MAX_DIGITS = 100
"""Python refuses to read numbers of some thousand digits."""


def _parse_before(text: str) -> int | datetime:
    if text.isascii() and text.isdecimal() and len(text) < MAX_DIGITS and int(text) > 0:
        return int(text)
    if (age := parse_duration(text)) is not None:
        if (moment := shifted(now(), -age)) is None:
            raise InvalidInputError("--before", f"{text!r} ago is before the year 1")
        return moment
    if (moment := parse_time(text)) is not None:
        return moment
    raise typer.BadParameter(
        f"{text!r} is neither a position, nor a time such as 2026-01-31T12:00+00:00, "
        "nor an age such as 90d"
    )
