"""Write a journal from four tasks without an end; say each call that returned, as JSON.

Arguments: URL, a word that begins each entry's id. Projects come and go while others write.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json

from programs.common import run, say
from projections.journal import Journal, UnknownProjectError

EMOJI = ["✅", "⚠️", "❌", "🧭"]


async def insert(journal: Journal, project: str, agent: str, number: int, begin: str) -> str:
    line = "x" * (number % 300)
    entry_id = f"{begin}-{agent}-{number}"
    await journal.insert_entry(
        entry_id=entry_id,
        project=project,
        ts=f"2026-01-01T00:00:{number % 60:02}Z",
        emoji=EMOJI[number % 4],
        agent=agent,
        message=line,
        meta={"n": number, "round": begin},
        raw_line=line,
        sha256=hashlib.sha256(line.encode()).hexdigest(),
    )
    return entry_id


async def assign(journal: Journal, project: str, name: str) -> None:
    agent = "a" + name[-1]
    done = await journal.set_agent_project(agent, project, None, name, None)
    say(json.dumps(["assigned", agent, done["version"]]))
    await journal.upsert_agent_session(agent, name, {})
    await journal.heartbeat_session(name)


async def work(journal: Journal, name: str, begin: str) -> None:
    project = "p" + name[-1]
    for number in itertools.count():
        if number % 40 == 0 and name == "w1":
            await journal.upsert_project(name=project, repo_root="/", progress_log_path="")
        if number % 40 == 39 and name == "w1":
            await journal.delete_project(project)
            continue
        try:
            entry_id = await insert(journal, project, name, number, begin)
        except UnknownProjectError:
            continue
        say(json.dumps(["entry", project, entry_id]))
        if number % 5 == 0:
            await assign(journal, project, name)


async def main(url: str, begin: str) -> None:
    async with Journal(url, notify="none") as journal:
        await journal.upsert_project(name="p0", repo_root="/", progress_log_path="")
        async with asyncio.TaskGroup() as tasks:
            for name in ("w0", "v0", "w1", "v1"):
                tasks.create_task(work(journal, name, begin))


if __name__ == "__main__":
    run(main)
