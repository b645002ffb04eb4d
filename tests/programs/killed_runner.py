"""Run a projection, and say when each batch begins and ends. Arguments: log, kind, place.

The kinds: ``directory``, and ``database`` with a URL as its place. A batch is five events at the
most while it catches up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from support.totals import Totals

from eventstore import EventStore
from programs.common import run, say
from projections import DirectoryProjection, ProjectionRunner, _view_run

if TYPE_CHECKING:
    from projections.protocol import Projection


async def main(log: str, kind: str, place: str) -> None:
    _view_run.BATCH_EVENTS = 5  # type: ignore[misc]
    view: Any = DirectoryProjection(place) if kind == "directory" else Totals().at(place)
    apply = view.apply

    def telling(*arguments: Any) -> None:
        say("begin")
        apply(*arguments)
        say("end")

    view.apply = telling
    projection: Projection = view
    async with EventStore.open(log, notify="none", poll=0.05) as store:
        await ProjectionRunner(store, projection).run()


if __name__ == "__main__":
    run(main)
