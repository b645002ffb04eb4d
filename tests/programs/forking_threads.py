"""Append with the blocking store, fork, and use it in the child and the parent. Argument: URL."""

from __future__ import annotations

import os
import sys

from eventstore import EventStoreError, NewEvent
from eventstore.sync import EventStore
from programs.common import say


def main(url: str) -> None:
    with EventStore.open(url, notify="none") as store:
        store.append("a/1", [NewEvent("T", 1)])
        child = os.fork()
        if child == 0:
            for use in (lambda: store.append("a/1", [NewEvent("T", 2)]), store.head, store.close):
                try:
                    say("child", use())
                except EventStoreError as error:
                    say("child", type(error).__name__)
            with EventStore.open(url, notify="none") as mine:
                say("child", mine.append("a/1", [NewEvent("T", 2)]).position)
            os._exit(0)
        os.waitpid(child, 0)
        say("parent", store.append("a/1", [NewEvent("T", 3)]).position)


if __name__ == "__main__":
    main(*sys.argv[1:])
