"""``trim``: the oldest events go into an archive, and what projections need of them stays."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from eventstore.cli.keepers import keep_for_all, load_keepers
from eventstore.cli.options import By, now, parse_duration, parse_time, user_name
from eventstore.cli.session import Session


async def trim(
    session: Session,
    *,
    before: Annotated[
        str,
        typer.Option(
            help="A position, a time such as 2026-01-31T12:00+00:00, or an age such as 90d.",
        ),
    ],
    archive: Annotated[
        Path | None,
        typer.Option(help="The archive of the trimmed events; default beside the log's file."),
    ] = None,
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    by: By = None,
    force: Annotated[
        bool, typer.Option("--force", help="Also what named consumers have not seen.")
    ] = False,
) -> None:
    """Archive the oldest events and remove them; what projections need of them is kept."""
    place = _parse_before(before)
    keep = keep_for_all(load_keepers())
    async with session.open_store() as store:
        with session.output.progress("archiving") as progress:
            done = await store.trim(
                place,
                archive=archive,
                reason=reason,
                by=user_name(by),
                keep=keep,
                force=force,
                progress=progress,
            )
    first = done.first_position
    session.output.value(
        msgspec.structs.asdict(done),
        f"{done.events} events are in {done.archive}, {done.kept} of what went are kept; "
        f"the log starts at {first}"
        if done.events
        else f"nothing to trim: no whole commit from {first} on lies before {before}",
    )


def _parse_before(text: str) -> int | datetime:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    if (age := parse_duration(text)) is not None:
        return now() - age
    if (moment := parse_time(text)) is not None:
        return moment
    raise typer.BadParameter(
        f"{text!r} is neither a position, nor a time such as 2026-01-31T12:00+00:00, "
        "nor an age such as 90d"
    )
