"""Many at once, and kill -9: nothing acknowledged is lost, and every projection equals the log."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.lengths import lengths
from support.memories import Place, some
from support.processes import lines_until_killed

from eventstore import EventStore

if TYPE_CHECKING:
    from projections.memories import MemoryStore

THREADS = 16


def logged(place: Place) -> tuple[dict[str, Any], Counter[str]]:
    """Return what the log says: the memories that stand, and how many events of each type."""

    async def read() -> tuple[dict[str, Any], Counter[str]]:
        standing: dict[str, Any] = {}
        types: Counter[str] = Counter()
        async with EventStore.open(place.url, notify="none") as log:
            async for event in log.read():
                types[event.type] += 1
                standing.pop(event.data["id"], None)
                if event.type == "MemoryStored":
                    standing[event.data["id"]] = event.data
        return standing, types

    return asyncio.run(read())


def check_projections(place: Place, memories: MemoryStore) -> Counter[str]:
    """Compare the table and the files with the log; return how many events of each type."""
    ids = memories.list_ids()
    standing, types = logged(place)
    assert ids == sorted(standing)
    contents = {memory.id: (memory.content, memory.tags) for memory in memories.get_batch(ids)}
    assert contents == {key: (one["content"], one["tags"]) for key, one in standing.items()}
    if place.directory is not None:
        assert place.files() == standing
    return types


class Worker:
    """One thread's work, and what it was told."""

    def __init__(self, memories: MemoryStore, number: int, until: float) -> None:
        self.memories, self.number, self.until = memories, number, until
        self.own: dict[str, str] = {}
        self.told: Counter[str] = Counter()
        self.slowest = 0.0

    def run(self) -> Worker:
        random = Random(self.number)
        while (begin := time.monotonic()) < self.until:
            self.step(random)
            self.slowest = max(self.slowest, time.monotonic() - begin)
        return self

    def step(self, random: Random) -> None:
        mine = f"own-{self.number}-{random.randrange(20)}"
        shared = f"shared-{random.randrange(4)}"
        match random.randrange(4):
            case 0:
                content = f"{self.told.total()} {random.random()}"
                self.memories.store(some(mine, content, tags=[shared]))
                self.own[mine] = content
                self.told["stored"] += 1
                found = self.memories.get(mine)
                assert found is not None
                assert found.content == content
            case 1:
                deleted = self.memories.delete(mine)
                assert deleted is (self.own.pop(mine, None) is not None)
                self.told["deleted"] += deleted
            case 2:
                self.memories.store(some(shared, f"{self.number}"))
                self.told["stored"] += 1
            case 3:
                self.told["deleted"] += self.memories.delete(shared)


@pytest.mark.promise("memories")
@lengths("seconds", 0.5, soak=60.0, timeout=300)
def test_sixteen_threads_lose_nothing(lasting: Place, seconds: float) -> None:
    with lasting.open() as memories, ThreadPoolExecutor(THREADS) as pool:
        memories.count()
        until = time.monotonic() + seconds
        workers = [Worker(memories, number, until) for number in range(THREADS)]
        done = list(pool.map(Worker.run, workers))
    told = sum((worker.told for worker in done), Counter[str]())
    own = {key: content for worker in done for key, content in worker.own.items()}
    with lasting.open() as fresh:
        found = {memory.id: memory.content for memory in fresh.get_batch(own)}
        types = check_projections(lasting, fresh)
    assert found == own
    assert (types["MemoryStored"], types["MemoryDeleted"]) == (told["stored"], told["deleted"])
    slowest = max(worker.slowest for worker in done)
    print(f"\n{lasting.kind}: {seconds:g} s, {told.total():,} writes, slowest step {slowest:.3f} s")


def write_until_killed(place: Place, number: int, calls: int) -> list[list[str]]:
    """Let a process write, kill it after so many calls, and return what it had said."""
    words = ("memory_writer", place.url, place.directory or "", number)
    return [line.split() for line in lines_until_killed(calls, *words)]


@pytest.mark.promise("memories")
@lengths("rounds", 1, slow=5, soak=50, timeout=900)
def test_killed_writers_leave_projections_that_equal_the_log(lasting: Place, rounds: int) -> None:
    random, place, total = Random(rounds), lasting, 0
    for number in range(rounds):
        said = write_until_killed(place, number, random.randint(2, 60))
        latest: dict[str, list[str]] = {}
        for line in said:
            latest[line[1]] = line
        with place.open() as memories:
            check_projections(place, memories)
            for memory_id, (what, _, *content) in latest.items():
                history = memories.history(memory_id)
                assert any(
                    change.kind == what
                    and (change.memory is None or change.memory.content == " ".join(content))
                    for change in history
                ), f"{memory_id}: {what} {content} was acknowledged"
        total += len(said)
    print(
        f"\n{place.kind}: {rounds} kills, {total:,} acknowledged writes, none lost, "
        "projections equal the log"
    )
    assert total >= rounds


def test_one_file_is_one_line_of_json(files: Place) -> None:
    with files.open() as memories:
        memories.store(some(content="a\nb"))
        assert files.directory is not None
        text = (files.directory / "m-1.json").read_text()
    assert text.count("\n") == 1
    assert json.loads(text)["content"] == "a\nb"
