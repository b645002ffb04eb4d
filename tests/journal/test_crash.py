"""kill -9 in the middle of writes: the tables say what the log says, and nothing is lost."""

from __future__ import annotations

import json
import time
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.audit import audit_url
from support.journals import told_by_log, told_by_tables, without_sums
from support.logs import LASTING, LOG_URLS
from support.processes import child, lines

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

AGENTS = ["a0", "a1"]

# Each worker says what is acknowledged; projects come and go while others write.
WRITER = """
import hashlib, itertools, json
from projections.journal import *
async def work(journal, name, round):
    project = "p" + name[-1]
    for number in itertools.count():
        if number % 40 == 0 and name == "w1":
            await journal.upsert_project(name=project, repo_root="/", progress_log_path="")
        if number % 40 == 39 and name == "w1":
            await journal.delete_project(project)
            continue
        line = "x" * (number % 300)
        entry_id = f"{round}-{name}-{number}"
        try:
            await journal.insert_entry(
                entry_id=entry_id, project=project, ts=f"2026-01-01T00:00:{number % 60:02}Z",
                emoji=["✅", "⚠️", "❌", "🧭"][number % 4], agent=name, message=line,
                meta={"n": number, "round": round}, raw_line=line,
                sha256=hashlib.sha256(line.encode()).hexdigest())
        except UnknownProjectError:
            continue
        say(json.dumps(["entry", project, entry_id]))
        if number % 5 == 0:
            agent = "a" + name[-1]
            done = await journal.set_agent_project(agent, project, None, name, None)
            say(json.dumps(["assigned", agent, done["version"]]))
            await journal.upsert_agent_session(agent, name, {})
            await journal.heartbeat_session(name)
async def main():
    async with Journal(url, notify="none") as journal:
        await journal.upsert_project(name="p0", repo_root="/", progress_log_path="")
        async with asyncio.TaskGroup() as tasks:
            for name in ("w0", "v0", "w1", "v1"):
                tasks.create_task(work(journal, name, arguments[0]))
"""


def write_until_killed(url: str, number: int, seconds: float) -> list[Any]:
    """Let a process write, kill it after a while; return what it had acknowledged."""
    said: list[str] = []
    with child(WRITER, url, number) as process:
        deadline = None
        for line in lines(process):
            said.append(line)
            deadline = deadline or time.monotonic() + seconds
            if time.monotonic() >= deadline:
                process.kill()
    # The last line may have been cut by the kill.
    return [json.loads(line) for line in said[:-1]]


@pytest.mark.parametrize(
    "rounds", [2, pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1800)])]
)
@pytest.mark.parametrize("kind", LASTING)
async def test_a_killed_writer_leaves_tables_that_equal_the_log(
    tmp_path: Path, kind: str, rounds: int
) -> None:
    random, url, total = Random(rounds), LOG_URLS[kind](tmp_path), 0
    acknowledged: set[str] = set()
    versions = dict.fromkeys(AGENTS, 0)
    for number in range(rounds):
        for what, key, value in write_until_killed(url, number, random.uniform(0.0, 0.2)):
            total += 1
            if what == "entry" and key == "p0":
                acknowledged.add(value)
            elif what == "assigned":
                versions[key] = max(versions[key], value)
        audit_url(url)
        by_log = await told_by_log(url)
        assert await told_by_tables(url, AGENTS) == without_sums(by_log)
        assert acknowledged <= by_log["projects"]["p0"].keys()
        assert by_log["assignments"].get("a0", (None, 0))[1] >= versions["a0"]
    entries = sum(len(one) for one in by_log["projects"].values())
    print(f"{kind}: {rounds} kills, {total:,} acknowledged, {entries:,} entries stand, none lost")
    assert total > rounds
