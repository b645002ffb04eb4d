"""``views``: every version of every view that the log's database holds."""

from __future__ import annotations

from typing import Final

import anyio

from eventstore.cli.session import Session
from projections.cli.view_states import COLUMNS, row_of
from projections.tables.view_states import describe_views, has_builds, look_at_views
from projections.troubles import read_troubles

LOOK_SECONDS: Final = 1.0
"""Time between two looks at a build, from which its speed is known."""

pause: Final = anyio.sleep
"""Waits between two looks; a test that goes on meanwhile puts its own in the place."""


async def views(session: Session) -> None:
    """List every version of every view, with position, size and state.

    "behind" counts events. Where a version is being built, the command looks twice, a second apart,
    and says how long the rest takes at that speed. Of views in directories and in other databases
    the log knows only those whose runs fail.
    """
    async with session.open_store() as store:
        look, before = await look_at_views(store), None
        if has_builds(look):
            await pause(LOOK_SECONDS)
            look, before = await look_at_views(store), look
        listed = describe_views(look, before, await read_troubles(store), store.url)
    output = session.output
    if output.json:
        for values in listed:
            output.value(values, None)
    elif listed:
        output.table(COLUMNS, [row_of(values) for values in listed])
    else:
        output.line("no views: the log's database holds none, and none is known to fail")
