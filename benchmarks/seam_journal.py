"""The journal seam beside a plain table with the same columns and indexes.

The plain table is what a program would have without a log: one durable transaction per entry that
inserts it, its metadata and its project's counts, by the driver, without a thread in between; and
the same statements for reading.
"""

from __future__ import annotations

import hashlib
import random
import sqlite3
import statistics
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

import anyio
import psycopg

from benchmarks.measure import Row, Setting
from benchmarks.plain_journal import (
    COLUMNS,
    MINE,
    NEWEST,
    TABLES,
    Plain,
    plain_postgres,
    plain_sqlite,
)
from benchmarks.postgres import server
from eventstore import EventStore, NewEvent
from projections.journal import Journal, JournalTables
from projections.journal.events import ENTRY_INSERTED, entry_event_id, project_stream

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

ENTRIES: Final = 1_000_000
WRITES: Final = 1_000
TASKS: Final = 16
LIST: Final = 10_000
WORDS: Final = ("deploy", "build", "test", "failed", "module", "server", "timeout", "cache")


def entry(number: int, prefix: str = "e") -> dict[str, Any]:
    """Return what insert_entry takes, without the project."""
    chosen = random.Random(number)
    message = f"Step {number}: {' '.join(chosen.choices(WORDS, k=8))}"
    line = f"[{number}] {message} | phase=ph{number % 100}"
    return {
        "entry_id": f"{prefix}-{number:08d}",
        "ts": f"2026-01-{number // 86_400 % 28 + 1:02d}T{number // 3600 % 24:02d}:"
        f"{number // 60 % 60:02d}:{number % 60:02d}+00:00",
        "emoji": "✅⚠❌🧭"[number % 4],
        "agent": f"agent{chosen.randrange(10)}",
        "message": message,
        "meta": {"phase": f"ph{number % 100}", "n": number},
        "raw_line": line,
        "sha256": hashlib.sha256(line.encode()).hexdigest(),
    }


SEEDED_AT_ONCE: Final = 2_000
FAR: Final = 1_000_000_000
"""Positions, and microseconds, between the copies of what was filled in."""


async def seed(journal: Journal, count: int) -> float:
    """Fill the project ``p``, many entries to a commit; return entries/s."""
    began = time.perf_counter()
    for start in range(0, count, SEEDED_AT_ONCE):
        entries = map(entry, range(start, min(start + SEEDED_AT_ONCE, count)))
        events = [
            NewEvent(ENTRY_INSERTED, one, id=entry_event_id(one["entry_id"])) for one in entries
        ]
        await journal.log.append(project_stream("p"), events)
    return count / (time.perf_counter() - began)


def multiply(run: Callable[[str], Any], count: int, step: int) -> None:
    """Make ``count`` entries of the ``count // 10`` that were filled in, without the log.

    What is asked here asks the tables alone, and filling them one by one takes minutes.
    """
    columns = "agent, emoji, folded, message, ts, meta, raw_line"
    for copy in range(1, 10):
        by = copy * FAR
        run(
            "INSERT INTO journal_entry (position, project_id, ts_us, entry_id, "
            f"{columns}) SELECT position + {by}, project_id, ts_us + {by}, "
            f"entry_id || '-{copy}', {columns} FROM journal_entry WHERE position <= {step}"
        )
        run(
            "INSERT INTO journal_meta (project_id, key, value, ts_us, position, is_text) "
            f"SELECT project_id, key, value, ts_us + {by}, position + {by}, is_text "
            f"FROM journal_meta WHERE position <= {step}"
        )
    run(f"UPDATE journal_project SET total = {count}")


def questions(journal: Journal, plain: Plain) -> list[Any]:
    """Return each question: its name, ours, and the floor's."""
    return [*page_questions(journal, plain), *count_questions(journal, plain)]


def page_questions(journal: Journal, plain: Plain) -> list[Any]:
    """Return the questions for one project and for pages of entries."""
    mine, project = MINE, plain.project
    return [
        (
            "project by name",
            lambda: journal.fetch_project("p"),
            lambda: plain.rows("SELECT * FROM journal_project WHERE name = ?", "p"),
        ),
        (
            "newest 50",
            lambda: journal.fetch_recent_entries(project="p", limit=50),
            lambda: plain.rows(f"{mine} {NEWEST} 50", project),
        ),
        (
            "list of 10,000",
            lambda: journal.fetch_recent_entries(project="p", limit=LIST),
            lambda: plain.rows(f"{mine} {NEWEST} {LIST}", project),
        ),
        (
            "50 by agent and emoji",
            lambda: journal.fetch_recent_entries(
                project="p", limit=50, filters={"agent": "agent3", "emoji": "❌"}
            ),
            lambda: plain.rows(
                f"{mine} AND agent = ? AND emoji = ? {NEWEST} 50", project, "agent3", "❌"
            ),
        ),
        (
            "50 by metadata",
            lambda: journal.fetch_recent_entries(
                project="p", limit=50, filters={"meta.phase": "ph7"}
            ),
            lambda: plain.rows(
                f"SELECT {COLUMNS} FROM journal_meta m JOIN journal_entry e USING (position) "
                "WHERE m.project_id = ? AND key = ? AND value = ? "
                "ORDER BY m.ts_us DESC, position DESC LIMIT 50",
                project, "phase", "ph7",
            ),
        ),
    ]  # fmt: skip


def count_questions(journal: Journal, plain: Plain) -> list[Any]:
    """Return the questions for numbers of entries."""
    project = plain.project
    number = "SELECT count(*) FROM journal_entry WHERE project_id = ?"
    return [
        (
            "count of all",
            lambda: journal.count_entries("p"),
            lambda: plain.rows(number, project),
        ),
        (
            "count by agent",
            lambda: journal.count_entries("p", {"agent": "agent3"}),
            lambda: plain.rows(f"{number} AND agent = ?", project, "agent3"),
        ),
        (
            "count by agent and emoji",
            lambda: journal.count_entries("p", {"agent": "agent3", "emoji": "❌"}),
            lambda: plain.rows(f"{number} AND agent = ? AND emoji = ?", project, "agent3", "❌"),
        ),
        (
            "count by part of the message",
            lambda: journal.count_query_entries(project="p", message="TIMEOUT"),
            lambda: plain.rows(f"{number} AND {plain.within}(folded, ?) > 0", project, "timeout"),
        ),
        (
            "count by regular expression",
            lambda: journal.count_query_entries(
                project="p", message="step .*timeout$", message_mode="regex"
            ),
            None,
        ),
    ]


async def ask_all(title: str, journal: Journal, plain: Plain, rounds: int) -> list[Row]:
    """Ask every question of both by turns: ms."""
    rows = []
    for name, ours, floor in questions(journal, plain):
        samples: dict[str, list[float]] = {"ours": [], "floor: plain table": []}
        # One round warms up.
        for counted in [False] + [True] * rounds:
            for who, values in samples.items():
                began = time.perf_counter()
                if who == "ours":
                    await ours()
                elif floor is not None:
                    floor()
                else:
                    continue
                if counted:
                    values.append((time.perf_counter() - began) * 1e3)
        rows += _rows(f"{title}: {name}", "ms", samples)
    return rows


def _rows(benchmark: str, unit: str, samples: dict[str, list[float]]) -> list[Row]:
    ours = statistics.median(samples["ours"])
    worst = max if unit == "ms" else min
    return [
        Row(
            benchmark, who, unit, statistics.median(values), worst(values),
            ratio=ours / statistics.median(values),
        )
        for who, values in samples.items()
        if values
    ]  # fmt: skip


async def write_all(title: str, journal: Journal, plain: Plain, setting: Setting) -> list[Row]:
    """Insert entries one by one, and by 16 tasks at once: entries/s."""
    count = setting.scaled(WRITES)
    samples: dict[str, list[float]] = {"ours": [], f"ours, {TASKS} tasks": [], "floor": []}
    for number in range(setting.rounds + 1):
        entries = {who: [entry(at, f"{who}-{number}") for at in range(count)] for who in samples}
        for who, rates in samples.items():
            began = time.perf_counter()
            if who == "floor":
                for one in entries[who]:
                    plain.insert(one)
            else:
                await _insert(journal, entries[who], 1 if who == "ours" else TASKS)
            if number:
                rates.append(count / (time.perf_counter() - began))
    return _rows(f"{title}: insert_entry", "entries/s", samples)


async def _insert(journal: Journal, entries: list[dict[str, Any]], tasks: int) -> None:
    async def some(part: list[dict[str, Any]]) -> None:
        for one in part:
            await journal.insert_entry(project="p", **one)

    async with anyio.create_task_group() as group:
        for number in range(tasks):
            group.start_soon(some, entries[number::tasks])


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Journal]:
    """Open a journal with the project ``p``."""
    async with EventStore.open(url, inline=[JournalTables()], notify="none") as store:
        journal = Journal(store, regex_seconds=300)
        await journal.upsert_project(name="p", repo_root="/", progress_log_path="")
        yield journal


async def journal_sqlite(setting: Setting) -> list[Row]:
    """Ask a journal of a million entries on SQLite, and insert into it."""
    path, count = setting.folder / "events.db", setting.scaled(ENTRIES)
    async with opened(f"sqlite:///{path}") as journal:
        rate = await seed(journal, count // 10)
        raw = sqlite3.connect(path, isolation_level=None)
        multiply(raw.execute, count, count // 10 + 1)
        raw.close()
        plain = plain_sqlite(setting, str(path))
        return await _run("journal, SQLite", journal, plain, setting, rate)


async def journal_postgres(setting: Setting) -> list[Row]:
    """Ask a journal of a million entries on PostgreSQL, and insert into it."""
    with server() as url:
        async with opened(url) as journal:
            count = setting.scaled(ENTRIES)
            rate = await seed(journal, count // 10)
            with psycopg.connect(url, autocommit=True) as connection:
                multiply(lambda sql: connection.execute(sql.encode()), count, count // 10 + 1)
                for name in TABLES:
                    connection.execute(f"VACUUM ANALYZE {name}".encode())
            plain = plain_postgres(url)
            return await _run("journal, PostgreSQL", journal, plain, setting, rate)


async def _run(
    title: str, journal: Journal, plain: Plain, setting: Setting, rate: float
) -> list[Row]:
    plain.project = plain.rows("SELECT id FROM journal_project")[0][0]
    rows = [Row(f"{title}: filling", "ours, 2,000 to a commit", "entries/s", rate, rate)]
    rows += await ask_all(title, journal, plain, setting.rounds)
    return rows + await write_all(title, journal, plain, setting)
