"""Hold the turn to write while a forked child lives on. Argument: URL of a log in a file."""

from __future__ import annotations

import os
import signal

from eventstore import EventStore
from programs.common import await_line, run, say


async def main(url: str) -> None:
    async with EventStore.open(url, notify="none") as store:
        with store._backend._turn.hold():  # type: ignore[attr-defined]
            if os.fork() == 0:
                signal.alarm(30)
                say("forked")
                os.close(1)
                signal.pause()
            await_line()


if __name__ == "__main__":
    run(main)
