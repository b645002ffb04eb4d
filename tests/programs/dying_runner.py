"""Project totals in batches of five events, and die after so many batches.

Arguments: URL of the log, URL of the tables' database, number of batches.
"""

from __future__ import annotations

import os
import signal

from support.totals import Totals

from eventstore import EventStore
from programs.common import run
from projections import ProjectionRunner, _view_run


class Death:
    """A report of progress that kills the process after so many batches."""

    def __init__(self, batches: int) -> None:
        self._left = batches

    def __call__(self, _position: int, _target: int | None) -> None:
        """Count a batch."""
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


async def main(log: str, tables: str, batches: str) -> None:
    _view_run.BATCH_EVENTS = 5  # type: ignore[misc]
    async with EventStore.open(log) as store:
        totals = Totals().at(tables)
        await ProjectionRunner(store, totals, progress=Death(int(batches))).catch_up()


if __name__ == "__main__":
    run(main)
