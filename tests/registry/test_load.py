"""Two processes with conflicts, and kill -9: nothing is lost, one of several wins, tables agree.

The long runs: ``pytest -m soak tests/registry/test_load.py -s``.
"""

from __future__ import annotations

import json
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.audit import audit_url
from support.logs import LASTING, LOG_URLS
from support.processes import lines_until_killed, start

from eventstore import EventStore
from projections import ProjectionRunner
from projections.registry import Registry, RegistryTables

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


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
        with (folder / name).open("wb") as output:
            running.append(start("registry_rivals", url, name, seconds, stdout=output))
    for process in running:
        assert process.wait() == 0
    return [
        json.loads(line)
        for name in ("left", "right")
        for line in (folder / name).read_text().splitlines()
    ]


@pytest.mark.promise("registry")
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


@pytest.mark.promise("registry")
@pytest.mark.parametrize(
    "rounds",
    [
        1,
        pytest.param(4, marks=pytest.mark.slow),
        pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.parametrize("kind", LASTING)
async def test_a_killed_writer_leaves_tables_that_equal_the_log(
    tmp_path: Path, kind: str, rounds: int
) -> None:
    random, url, total = Random(rounds), LOG_URLS[kind](tmp_path), 0
    async with Registry(url):
        pass
    for number in range(rounds):
        calls = random.randint(1, 80)
        said = lines_until_killed(calls, "registry_rivals", url, f"r{number}-", 3600)
        done = [json.loads(line) for line in said]
        total += len(done)
        await check(url)
        bots, removals = await told_by_log(url)
        for what, bot, _ in done:
            assert what != "registered" or bot in bots or removals[bot]
    print(f"{kind}: {rounds} kills, {total:,} acknowledged, none lost, tables equal the log")
    assert total > rounds
