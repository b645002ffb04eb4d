"""Project rules into a directory, and follow. Arguments: URL, directory."""

from __future__ import annotations

from eventstore import EventStore
from programs.common import run
from projections import DirectoryProjection, ProjectionRunner


async def main(url: str, root: str) -> None:
    async with EventStore.open(url) as store:
        await ProjectionRunner(store, DirectoryProjection(root)).run()


if __name__ == "__main__":
    run(main)
