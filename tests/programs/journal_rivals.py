"""Write a journal from eight tasks for some seconds, against another such process.

Arguments: URL, name of the process, seconds. Both race for the same agents and insert the same
entries now and then, and read pages meanwhile, which must hold together.
"""

from __future__ import annotations

import asyncio
import hashlib
import time

from eventstore import ConflictError
from programs.common import run, say
from projections.journal import Journal

EMOJI = ["✅", "⚠️", "❌", "🧭"]


async def insert(journal: Journal, process: str, task: int, number: int) -> None:
    shared = number % 10 == 0
    entry_id = f"shared-{task}-{number}" if shared else f"{process}-{task}-{number}"
    line = f"line {number} " + "x" * (number % 50)
    began = time.monotonic()
    await journal.insert_entry(
        entry_id=entry_id,
        project="p",
        ts=f"2026-01-01T00:00:{number % 60:02}Z",
        emoji=EMOJI[number % 4],
        agent=f"t{task}",
        message=line,
        meta={"n": number},
        raw_line=line,
        sha256=hashlib.sha256(line.encode()).hexdigest(),
    )
    say("entry", entry_id, time.monotonic() - began)


async def assign(journal: Journal, agent: str, session: str) -> None:
    seen = await journal.get_agent_project(agent)
    version = seen["version"] if seen else None
    try:
        done = await journal.set_agent_project(agent, "p", version, session, None)
        say("won", agent, done["version"], version)
    except ConflictError as error:
        conflict = error
    else:
        return
    assert isinstance(version, int), conflict
    assert conflict.expected == version, conflict
    assert conflict.actual > version, conflict
    say("lost", agent, conflict.actual)


async def read_pages(journal: Journal) -> None:
    pages: list[str] = []
    page, total = 0, 1
    while page * 50 < total and page < 6:
        page += 1
        entries, total = await journal.fetch_recent_entries_paginated(project="p", page=page)
        pages += [one["id"] for one in entries]
    assert len(set(pages)) == len(pages) == min(total, page * 50), (len(pages), total)
    say("pages", page)


async def work(journal: Journal, process: str, task: int, until: float) -> None:
    number = 0
    while time.monotonic() < until:
        number += 1
        await insert(journal, process, task, number)
        await assign(journal, f"a{number % 3}", f"{process}-{task}")
        if number % 20 == 0:
            await read_pages(journal)


async def main(url: str, process: str, seconds: str) -> None:
    async with Journal(url) as journal:
        until = time.monotonic() + float(seconds)
        async with asyncio.TaskGroup() as tasks:
            for task in range(8):
                tasks.create_task(work(journal, process, task, until))


if __name__ == "__main__":
    run(main)
