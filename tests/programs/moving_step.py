"""Do one step of moving a large log; say its seconds and this process's peak memory in MiB.

Arguments: the step, URL, a file or a database, number of events.
"""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path
from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table, insert

from eventstore import Event, EventStore, NewEvent
from projections import ProjectionRunner, TableProjection


class Numbers(TableProjection):
    """Every tenth event as a row."""

    name, metadata = "numbers", MetaData()
    table = Table(
        "numbers",
        metadata,
        Column("position", BigInteger, primary_key=True),
        Column("stream", String),
        Column("number", BigInteger),
    )

    def handle(self, connection: Any, event: Event) -> None:
        """Add the row."""
        number = event.data["number"]
        if number % 10 == 0:
            row = {"position": event.position, "stream": event.stream, "number": number}
            connection.execute(insert(self.table).values(row))


async def fill(store: EventStore, count: int) -> None:
    for start in range(0, count, 1000):
        events = [
            NewEvent("Happened", {"number": n, "text": f"event {n} of many" * 8})
            for n in range(start, start + 1000)
        ]
        await store.append(f"thing/{start // 1000 % 997}", events)


async def do(what: str, store: EventStore, file: str, count: int) -> None:
    if what == "fill":
        await fill(store, count)
    elif what == "export":
        await store.export(file, replace=True)
    elif what == "import":
        await store.import_from(file)
    elif what == "verify":
        report = await store.verify()
        assert report.ok, report.findings
        assert report.events == count
    elif what == "rebuild":
        await ProjectionRunner(store, Numbers().at(file)).rebuild()


async def main(what: str, url: str, file: str, count: int) -> None:
    async with EventStore.open(url) as store:
        begun = time.perf_counter()
        await do(what, store, file, count)
        seconds = time.perf_counter() - begun
        assert (await store.head()).position == count
    # Not getrusage: what it says begins with the memory of the process that forked this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM")).split()[1]
    print(f"{seconds:.1f} {int(peak) // 1024}")


if __name__ == "__main__":
    what, url, file, count = sys.argv[1:]
    asyncio.run(main(what, url, file, int(count)))
