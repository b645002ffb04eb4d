"""Open a SQLite log, fork, and open the same file in the child. Arguments: path, way.

Says what the child did: how many of its events were acknowledged, or the error.

The ways: ``open``, with the parent's store open until the child has appended; ``closed``, with the
parent's store closed after the fork and before the child opens; ``before``, with the parent's
store closed before the fork; ``raced``, with it closed before anything runs in the child.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from eventstore import EventStoreError, NewEvent
from eventstore.storage.sqlite.read_only import connect_read_only
from eventstore.sync import EventStore
from eventstore.system import fork_hooks
from programs.common import say
from projections.sql import SqlCopy


def append(store: EventStore, name: str, count: int = 3) -> int:
    """Append events one by one; return how many were acknowledged."""
    done = 0
    for number in range(count):
        store.append(f"{name}/1", [NewEvent("Done", {"number": number})])
        done += 1
    return done


def _read(pipe: int) -> None:
    os.read(pipe, 1)


def others(url: str) -> list[str]:
    """Return how the other ways to open the file end: a reader's, and that of a copy of tables."""
    ended = []
    for use in (lambda: connect_read_only(Path(sys.argv[1])), lambda: SqlCopy(url).open("a log")):
        try:
            use()
            ended.append("opened")
        except EventStoreError as error:
            ended.append(type(error).__name__)
    return ended


def child(url: str, begin: int, ready: int, closed: int) -> None:
    """Say how many events were acknowledged, or which error was raised."""
    done = 0
    if begin >= 0:
        _read(begin)
    try:
        with EventStore.open(url) as store:
            done += append(store, "child")
            os.write(ready, b"x")
            os.read(closed, 1)
            done += append(store, "child")
    except EventStoreError as error:
        say("child", type(error).__name__, done, str(error), "others:", *others(url))
        return
    say("child", "appended", done)


def main() -> None:
    """Run one way."""
    url, way = f"sqlite:///{sys.argv[1]}", sys.argv[2]
    begin, ready, closed = os.pipe(), os.pipe(), os.pipe()
    store = EventStore.open(url)
    store.__enter__()
    append(store, "parent")
    if way == "before":
        store.close()
    if way == "raced":
        fork_hooks._functions.insert(0, partial(_read, begin[0]))
    pid = os.fork()
    if pid == 0:
        os.close(ready[0])
        child(url, -1 if way == "raced" else begin[0], ready[1], closed[0])
        sys.exit(0)
    os.close(ready[1])
    if way == "open":
        os.write(begin[1], b"x")
        os.read(ready[0], 1)  # Empty where the child was refused.
        append(store, "parent")
    store.close()
    if way != "open":
        os.write(begin[1], b"x")
        os.read(ready[0], 1)
    with EventStore.open(url) as third:
        append(third, "parent")
    os.write(closed[1], b"x")
    say("status", os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    main()
