"""kill -9 at random moments: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import time
from random import Random
from typing import TYPE_CHECKING

import pytest
from support.audit import audit_url
from support.logs import LASTING, LOG_URLS
from support.plain import plain
from support.processes import child, lines

if TYPE_CHECKING:
    from pathlib import Path

# Each acknowledgement names the ids of one call; batches and append_many run side by side.
WRITER = """
from itertools import count
async def work(store, name, round):
    for number in count():
        new = [NewEvent("T", "x" * number * 40, id=f"{round}-{name}-{number}-{part}")
               for part in range(number % 5 + 1)]
        if name.startswith("many") and len(new) > 1:
            done = await store.append_many([StreamWrite(f"s/{name}-a", new[:1]),
                                            StreamWrite(f"s/{name}-b", new[1:])])
        else:
            done = await store.append(f"s/{name}", new)
        say(done.position, *(event.id for event in new))
async def main():
    async with EventStore.open(url) as store, asyncio.TaskGroup() as tasks:
        for name in ("one", "two", "three", "many1", "many2"):
            tasks.create_task(work(store, name, arguments[0]))
"""


def write_until_killed(url: str, number: int, seconds: float) -> list[list[str]]:
    """Let a process write, kill it after a while, and return what it had acknowledged."""
    acknowledged: list[list[str]] = []
    with child(WRITER, url, number) as process:
        deadline = None
        for line in lines(process):
            if line.count(" "):
                acknowledged.append(line.split())
            # The clock runs from the first acknowledgement, so that every round has some.
            deadline = deadline or time.monotonic() + seconds
            if time.monotonic() >= deadline:
                process.kill()
    # The last line may have been cut by the kill; a whole one ends with a complete id.
    return acknowledged[:-1]


def stored_calls(url: str) -> dict[str, set[str]]:
    """Return the ids of each commit, by its position."""
    calls: dict[str, set[str]] = {}
    with plain(url) as connection:
        for commit, raw_id in connection.execute("SELECT commit_position, id FROM event"):
            calls.setdefault(str(commit), set()).add(raw_id[1:].decode())
    return calls


@pytest.mark.parametrize(
    "rounds", [10, pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
@pytest.mark.parametrize("kind", LASTING)
def test_a_killed_writer_loses_nothing_it_acknowledged(
    tmp_path: Path, kind: str, rounds: int
) -> None:
    random, total, url = Random(rounds), 0, LOG_URLS[kind](tmp_path)
    for number in range(rounds):
        acknowledged = write_until_killed(url, number, random.uniform(0.0, 0.12))
        events = audit_url(url)
        calls = stored_calls(url)
        for position, *ids in acknowledged:
            assert calls[position] == set(ids)
        for ids_of_call in calls.values():
            # The number in the ids says how many events the call had.
            sizes = {int(one.split("-")[2]) % 5 + 1 for one in ids_of_call}
            assert sizes == {len(ids_of_call)}
        total += len(acknowledged)
    print(f"{rounds} kills: {total:,} acknowledged calls, {events:,} events, none lost or half")
    assert total > rounds
