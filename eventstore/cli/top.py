"""``top``: what ``status`` tells, as a screen that is kept up to date."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Final

import typer

from eventstore.cli.options import parse_seconds
from eventstore.cli.output import one_line
from eventstore.cli.session import Session
from eventstore.cli.status_report import WITHIN_SECONDS, listen, read_report
from eventstore.store.status import SEARCHED_CONSUMERS, SHOWN_CONSUMERS
from eventstore.system.extras import needs_extra

EVERY_SECONDS: Final = 2.0
LEAST_SECONDS: Final = 0.1
"""Seconds between two reads: by default, and at the least."""


async def top(
    session: Session,
    *,
    every: Annotated[
        float,
        typer.Option(parser=parse_seconds, metavar="SECONDS", help="How often to look."),
    ] = EVERY_SECONDS,
) -> None:
    """Show the log, its followers and what is not well, until 'q' is pressed."""
    with needs_extra("top", "'eventstore top'"):
        from eventstore.cli.top_screen import TopScreen  # noqa: PLC0415 - an extra
    if not session.output.can_draw:
        raise typer.BadParameter("top draws on a terminal: elsewhere use 'eventstore status'")
    async with session.open_store() as store:
        await listen(store)
        read = partial(
            read_report,
            store,
            within=WITHIN_SECONDS,
            limit=SHOWN_CONSUMERS,
            among=SEARCHED_CONSUMERS,
        )
        screen = TopScreen(one_line(store.url), read, max(every, LEAST_SECONDS))
        await screen.run_async()
    if screen.failure is not None:
        raise screen.failure
