"""Two processes with conflicts, and kill -9: nothing is lost, one of several wins, tables agree.

The long runs: ``pytest -m soak tests/registry/test_load.py -s``.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.audit import audit_url
from support.logs import LASTING, LOG_URLS
from support.processes import PRELUDE, ROOT, child, lines

from eventstore import EventStore
from projections import ProjectionRunner
from projections.registry import Registry, RegistryTables

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

# Each task registers bots of its own, and all of them fight over a few that they share.
WORKER = """
import itertools, json, random, time
from projections.registry import *
async def work(registry, me, until):
    for number in itertools.count():
        if time.monotonic() >= until:
            return
        begin = time.monotonic()
        mine = f"{me}-{number}"
        await registry.register(mine, {"n": number, "text": "x" * (number % 200)},
                                metadata={"by": me})
        say(json.dumps(["registered", mine, time.monotonic() - begin]))
        assert (await registry.get_config(mine))["n"] == number
        shared = f"shared-{number % 3}"
        if random.random() < 0.5:
            await registry.register(shared, {"by": mine})
            say(json.dumps(["shared", shared, 0]))
        elif await registry.unregister(shared):
            say(json.dumps(["removed", shared, 0]))
        if number % 3 == 0 and await registry.deactivate(mine):
            say(json.dumps(["deactivated", mine, 0]))
        if number % 7 == 0 and await registry.unregister(mine):
            say(json.dumps(["removed", mine, 0]))
async def main():
    async with Registry(url) as registry:
        until = time.monotonic() + float(arguments[1])
        async with asyncio.TaskGroup() as tasks:
            for task in range(8):
                tasks.create_task(work(registry, f"{arguments[0]}{task}", until))
"""


async def told_by_log(url: str) -> tuple[dict[str, tuple[Any, str]], Counter[str]]:
    """Return what the events say, folded here and in no other way, and removals that counted."""
    bots: dict[str, tuple[Any, str]] = {}
    removals: Counter[str] = Counter()
    async with EventStore.open(url, notify="none") as log:
        async for event in log.read(streams="bot/"):
            bot = event.data["bot_id"]
            if event.type == "BotRegistered":
                bots[bot] = event.data["config"], event.data["status"]
            elif event.type == "BotDeactivated":
                bots[bot] = bots[bot][0], "inactive"
            else:
                del bots[bot]
                removals[bot] += 1
    return bots, removals


async def check(url: str) -> Counter[str]:
    """See that the tables say what the log says, before and after a rebuild."""
    audit_url(url)
    bots, removals = await told_by_log(url)
    for _ in range(2):
        async with Registry(url, notify="none") as registry:
            found = {one.bot_id: (one.config, one.status) for one in await registry.list_all()}
        assert found == bots
        async with EventStore.open(url, notify="none") as store:
            await ProjectionRunner(store, RegistryTables().at(url)).rebuild()
    return removals


def run_workers(url: str, folder: Path, seconds: float) -> list[list[Any]]:
    """Run two processes; return what they said."""
    running = []
    for name in ("left", "right"):
        words = [sys.executable, "-c", PRELUDE + WORKER + "\nasyncio.run(main())", url]
        with (folder / name).open("wb") as output:
            running.append(subprocess.Popen([*words, name, str(seconds)], cwd=ROOT, stdout=output))
    for process in running:
        assert process.wait(seconds + 120) == 0
    return [
        json.loads(line)
        for name in ("left", "right")
        for line in (folder / name).read_text().splitlines()
    ]


@pytest.mark.parametrize(
    "seconds", [1.0, pytest.param(60.0, marks=[pytest.mark.soak, pytest.mark.timeout(600)])]
)
@pytest.mark.parametrize("kind", LASTING)
async def test_nothing_is_lost_and_one_removes(tmp_path: Path, kind: str, seconds: float) -> None:
    url = LOG_URLS[kind](tmp_path)
    async with Registry(url):
        pass
    said = run_workers(url, tmp_path, seconds)
    removals = await check(url)
    bots, _ = await told_by_log(url)
    assert Counter(bot for what, bot, _ in said if what == "removed") == removals
    mine = {bot for what, bot, _ in said if what == "registered"}
    assert mine - removals.keys() == {bot for bot in bots if not bot.startswith("shared")}
    inactive = {bot for what, bot, _ in said if what == "deactivated"} - removals.keys()
    assert inactive == {bot for bot, (_, status) in bots.items() if status == "inactive"}
    waits = sorted(wait for what, _, wait in said if what == "registered")
    print(
        f"{kind}: {len(said):,} writes in {seconds:.0f} s, {removals.total():,} removals, none "
        f"twice; register p50 {waits[len(waits) // 2] * 1e3:.1f} ms, worst {waits[-1]:.2f} s"
    )
    assert removals.total() > 3


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
@pytest.mark.parametrize("kind", LASTING)
async def test_a_killed_writer_leaves_tables_that_equal_the_log(
    tmp_path: Path, kind: str, rounds: int
) -> None:
    random, url, total = Random(rounds), LOG_URLS[kind](tmp_path), 0
    async with Registry(url):
        pass
    for number in range(rounds):
        said: list[str] = []
        with child(WORKER, url, f"r{number}-", 60) as process:
            deadline = None
            for line in lines(process):
                said.append(line)
                deadline = deadline or time.monotonic() + random.uniform(0.0, 0.2)
                if time.monotonic() >= deadline:
                    process.kill()
        done = [json.loads(line) for line in said[:-1]]  # The last may have been cut.
        total += len(done)
        await check(url)
        bots, removals = await told_by_log(url)
        for what, bot, _ in done:
            assert what != "registered" or bot in bots or removals[bot]
    print(f"{kind}: {rounds} kills, {total:,} acknowledged, none lost, tables equal the log")
    assert total > rounds
