"""``views``: every version of every view that the log's database holds."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore.cli.session import Session
from projections.cli.view_states import COLUMNS, Look, describe_views, has_builds, row_of
from projections.tables.view_facts import read_views
from projections.troubles import read_troubles

if TYPE_CHECKING:
    from eventstore import EventStore
    from eventstore.log.operations import Head

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
        look, before = await _look(store), None
        if has_builds(look):
            await pause(LOOK_SECONDS)
            look, before = await _look(store), look
        listed = describe_views(look, before, await read_troubles(store), store.url)
    output = session.output
    if output.json:
        for values in listed:
            output.value(values, None)
    elif listed:
        output.table(COLUMNS, [row_of(values) for values in listed])
    else:
        output.line("no views: the log's database holds none, and none is known to fail")


async def _look(store: EventStore) -> Look:
    def read(connection: Any, head: Head) -> Look:
        return Look(head.position, read_views(connection), monotonic())

    return await store.query(read)
