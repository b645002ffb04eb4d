"""Follow a directory of rules; say when it owns the source, and after each reconciliation.

Arguments: URL, directory, name of the source, and, where given, seconds between two scans.
"""

from __future__ import annotations

import asyncio
from typing import Any

from eventstore import EventStore
from programs.common import run, say
from projections.rules import RuleSync


async def main(url: str, root: str, source: str, rescan_seconds: str | None = None) -> None:
    settings: dict[str, Any] = {}
    if rescan_seconds is not None:
        settings["rescan_seconds"] = float(rescan_seconds)
    async with EventStore.open(url) as store:
        master = RuleSync(store, root, source=source, **settings)
        following = asyncio.create_task(master.run(lambda _: say("synced")))
        while not master.owner:  # noqa: ASYNC110 - there is no event for it
            await asyncio.sleep(0.01)
        say("owner", master.owner.rpartition(":")[2])
        await following


if __name__ == "__main__":
    run(main)
