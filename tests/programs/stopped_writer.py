"""Stop in the middle of an append, by a signal, until another signal. Argument: URL."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Any

from eventstore import EventStore, NewEvent
from programs.common import await_line, run, say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore import Cursor, Event


class Stop:
    """An inline projection that stops the process, once."""

    name = "stop"

    def __init__(self) -> None:
        self._stopped = False

    def setup(self, connection: Any) -> None:
        pass

    def cursor(self, connection: Any) -> None:
        return None

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        if events[-1].type == "Stop" and not self._stopped:
            self._stopped = True
            say("stopping")
            # To this thread, which goes no further: the process's other threads may be slower.
            signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)


async def main(url: str) -> None:
    async with EventStore.open(url, notify="none", inline=[Stop()]) as store:
        say("ready")
        await_line()
        done = await store.append("a/1", [NewEvent("Stop", 1, id="stopped")])
        say("appended", done.position)


if __name__ == "__main__":
    run(main)
