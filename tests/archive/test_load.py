"""A large log moved from each database to the other: time, size, memory, and the same views."""

from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from support.moving import fresh
from support.plain import plain
from support.processes import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = """
import asyncio, sys, time
from hashlib import sha256
from sqlalchemy import BigInteger, Column, MetaData, String, Table, create_engine, insert, select
from eventstore import *
from projections import ProjectionRunner, TableProjection

class Numbers(TableProjection):
    name, metadata = "numbers", MetaData()
    table = Table("numbers", metadata, Column("position", BigInteger, primary_key=True),
                  Column("stream", String), Column("number", BigInteger))
    def handle(self, connection, event):
        if event.data["number"] % 10 == 0:
            connection.execute(insert(self.table).values(
                position=event.position, stream=event.stream, number=event.data["number"]))

async def main():
    what, url, file, count = sys.argv[1:]
    async with EventStore.open(url) as store:
        begun = time.perf_counter()
        if what == "fill":
            for start in range(0, int(count), 1000):
                await store.append(f"thing/{start // 1000 % 997}", [
                    NewEvent("Happened", {"number": n, "text": f"event {n} of many" * 8})
                    for n in range(start, start + 1000)])
        elif what == "export":
            await store.export(file, replace=True)
        elif what == "import":
            await store.import_from(file)
        elif what == "verify":
            report = await store.verify()
            assert report.ok and report.events == int(count), report.findings
        elif what == "rebuild":
            view = Numbers().at(file)
            await ProjectionRunner(store, view).rebuild()
        seconds = time.perf_counter() - begun
        assert (await store.head()).position == int(count)
    # Not getrusage: what it says begins with the memory of the process that forked this one.
    with open("/proc/self/status") as status:
        peak = next(line for line in status if line.startswith("VmHWM")).split()[1]
    print(f"{seconds:.1f} {int(peak) // 1024}")
asyncio.run(main())
"""


def step(what: str, url: str, file: Path | str, count: int) -> tuple[float, int]:
    """Do one step in a process of its own; return its seconds and its peak memory in MiB."""
    words = [sys.executable, "-c", PROGRAM, what, url, str(file), str(count)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    seconds, peak = done.stdout.split()
    return float(seconds), int(peak)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [200_000, 1_000_000])
@pytest.mark.parametrize("kinds", [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_a_large_log_moves_in_bounded_memory(
    tmp_path: Path, kinds: tuple[str, str], count: int
) -> None:
    source, target = (fresh(kind, tmp_path, kind) for kind in kinds)
    file = tmp_path / "log.export"
    begun = time.perf_counter()
    _, least = step("nothing", fresh("sqlite", tmp_path, "least"), file, 0)
    step("fill", source, file, count)
    for what, url in (("export", source), ("import", target)):
        seconds, peak = step(what, url, file, count)
        print(
            f"{what} {kinds[what == 'import']}: {count:,} events, {seconds} s, {peak} MiB at the "
            f"most ({least} MiB for nothing), file {file.stat().st_size / 1e6:.0f} MB"
        )
        assert peak < least + 64
    views = []
    for number, url in enumerate((source, target)):
        print(f"verify {kinds[number]}: {step('verify', url, '', count)[0]} s")
        view = tmp_path / f"view-{number}.db"
        print(f"rebuild a view: {step('rebuild', url, f'sqlite:///{view}', count)[0]} s")
        with plain(f"sqlite:///{view}") as connection:
            views.append(connection.execute("SELECT * FROM numbers ORDER BY 1").fetchall())
    assert views[0] == views[1]
    assert len(views[0]) == count // 10
    print(f"{time.perf_counter() - begun:.0f} s in all")
