"""Appends commits of three events until it is killed: ``python -m eventstore.testing._appending``.

It prints the position of each commit once the append has returned.
"""

from __future__ import annotations

import sys

from eventstore import NewEvent
from eventstore.sync import EventStore


def main(url: str) -> None:
    """Append to the log at a URL, without an end."""
    with EventStore.open(url, notify="none") as store:
        while True:
            done = store.append("a/1", [NewEvent("Happened", number) for number in range(3)])
            sys.stdout.write(f"{done.position}\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1])
