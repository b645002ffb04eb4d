"""Two processes with conflicts, and kill -9: nothing is lost, one of several wins, tables agree.

The long runs: ``pytest -m soak tests/registry/test_load.py -s``.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from support.audit import audit_url
from support.lengths import lengths
from support.processes import killed_runs, lines_of_two

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
    return [json.loads(line) for line in lines_of_two("registry_rivals", url, folder, seconds)]


@pytest.mark.slow
@pytest.mark.promise("registry")
@lengths("seconds", 1.0, soak=60.0, timeout=600)
async def test_nothing_is_lost_and_one_removes(
    lasting_url: str, tmp_path: Path, seconds: float
) -> None:
    async with Registry(lasting_url):
        pass
    said = run_workers(lasting_url, tmp_path, seconds)
    removals = await check(lasting_url)
    bots, _ = await told_by_log(lasting_url)
    assert Counter(bot for what, bot, _ in said if what == "removed") == removals
    mine = {bot for what, bot, _ in said if what == "registered"}
    assert mine - removals.keys() == {bot for bot in bots if not bot.startswith("shared")}
    inactive = {bot for what, bot, _ in said if what == "deactivated"} - removals.keys()
    assert inactive == {bot for bot, (_, status) in bots.items() if status == "inactive"}
    waits = sorted(wait for what, _, wait in said if what == "registered")
    kind = urlsplit(lasting_url).scheme
    print(
        f"{kind}: {len(said):,} writes in {seconds:.0f} s, {removals.total():,} removals, none "
        f"twice; register p50 {waits[len(waits) // 2] * 1e3:.1f} ms, worst {waits[-1]:.2f} s"
    )
    assert removals.total() > 3


@pytest.mark.promise("registry")
@lengths("rounds", 1, slow=4, soak=50, timeout=1800)
async def test_a_killed_writer_leaves_tables_that_equal_the_log(
    lasting_url: str, rounds: int
) -> None:
    async with Registry(lasting_url):
        pass

    def words_of(number: int) -> tuple[object, ...]:
        return "registry_rivals", lasting_url, f"r{number}-", 3600

    total = 0
    for said in killed_runs(rounds, 80, words_of):
        done = [json.loads(line) for line in said]
        total += len(done)
        await check(lasting_url)
        bots, removals = await told_by_log(lasting_url)
        for what, bot, _ in done:
            assert what != "registered" or bot in bots or removals[bot]
    kind = urlsplit(lasting_url).scheme
    print(f"{kind}: {rounds} kills, {total:,} acknowledged, none lost, tables equal the log")
    assert total > rounds
