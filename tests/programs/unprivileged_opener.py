"""Open a log without the rights of root; say whether the refusal names the file. Argument: URL."""

from __future__ import annotations

import os

from eventstore import EventStore, StorageError
from programs.common import run, say


async def main(url: str) -> None:
    # Everything is imported before the rights to read it are given up.
    async with EventStore.open("memory://"):
        pass
    if os.getuid() == 0:
        os.setuid(65534)
    try:
        async with EventStore.open(url):
            say("opened")
    except StorageError as error:
        say("refused", url.removeprefix("sqlite:///") in str(error))


if __name__ == "__main__":
    run(main)
