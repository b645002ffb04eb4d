"""Single calls of the registry and of the journal, each beside a plain table: medians of 300.

The floors are blocking calls of the driver, without an event loop or a thread between, with one
durable transaction for each write. They make the same values of the rows as the seams do. Both
take turns, call by call. What is written on SQLite waits for the disk, whose ``fsync`` is measured
beside.
"""

from __future__ import annotations

import os
import time
from itertools import count
from typing import TYPE_CHECKING, Final

import psycopg

from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.plain_journal import TABLES, plain_postgres, plain_sqlite
from benchmarks.postgres import server
from benchmarks.seam_journal import entry, opened, seed
from benchmarks.seam_registry import bot, fill, places
from projections.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from benchmarks.plain_journal import Plain as PlainJournal
    from benchmarks.seam_registry import Plain as PlainBots
    from projections.journal import Journal

    Call = tuple[str, Callable[[int], Awaitable[object]], Callable[[int], object]]

CALLS: Final = 300
FILLED: Final = 4_000
LIST: Final = 320
PAGE: Final = 50


async def registry_calls(setting: Setting) -> list[Row]:
    """Register, get, list 320 and a filtered page, on SQLite and on PostgreSQL: ms."""
    rows = fsyncs(setting.folder)
    with places(setting) as found:
        for kind, (url, plain) in found.items():
            async with Registry(url) as ours:
                await fill(ours, FILLED)
                plain.fill(FILLED)
                rows += await measured(f"{kind}: ", _of_registry(ours, plain), setting)
    return rows


def _of_registry(ours: Registry, plain: PlainBots) -> list[Call]:
    async def register(number: int) -> None:
        one = bot(number)
        await ours.register(one["bot_id"], one["config"], metadata=one["metadata"])

    def team(number: int) -> dict[str, str]:
        return {"team": f"team-{number % 100}"}

    return [
        ("register", register, plain.write),
        ("get", lambda n: ours.get(f"bot-{n:06d}"), plain.read),
        (f"list {LIST}", lambda _: ours.list_all(limit=LIST), lambda _: plain.newest(LIST)),
        (
            "20 by metadata",
            lambda n: ours.list_all(filter_metadata=team(n), limit=20),
            lambda n: plain.of_team(team(n)["team"], 20),
        ),
    ]


async def journal_calls(setting: Setting) -> list[Row]:
    """Insert, fetch, query, assign and send heartbeats, on SQLite and on PostgreSQL: ms."""
    rows = fsyncs(setting.folder)
    path = setting.folder / "events.db"
    async with opened(f"sqlite:///{path}") as ours:
        await _prepare(ours)
        plain = plain_sqlite(setting, str(path))
        rows += await measured("SQLite: ", _of_journal(ours, plain), setting)
    with server() as url:
        async with opened(url) as ours:
            await _prepare(ours)
            with psycopg.connect(url, autocommit=True) as connection:
                for name in TABLES:
                    connection.execute(f"VACUUM ANALYZE {name}".encode())
            plain = plain_postgres(url)
            rows += await measured("PostgreSQL: ", _of_journal(ours, plain), setting)
    return rows


async def _prepare(ours: Journal) -> None:
    await seed(ours, FILLED)
    await ours.upsert_agent_session("agent", "session", {})


def _of_journal(ours: Journal, plain: PlainJournal) -> list[Call]:
    plain.project = plain.rows("SELECT id FROM journal_project")[0][0]
    plain.add_agents()
    return [
        (
            "insert",
            lambda n: ours.insert_entry(project="p", **entry(n, "ours")),
            lambda n: plain.insert(entry(n, "plain")),
        ),
        (
            f"fetch {PAGE}",
            lambda _: ours.fetch_recent_entries(project="p", limit=PAGE),
            lambda _: plain.newest(PAGE),
        ),
        (
            f"{PAGE} by message",
            lambda _: ours.query_entries(project="p", message="timeout", limit=PAGE),
            lambda _: plain.by_message("timeout", PAGE),
        ),
        (
            f"{PAGE} by metadata",
            lambda n: ours.query_entries(
                project="p", meta_filters={"phase": f"ph{n % 100}"}, limit=PAGE
            ),
            lambda n: plain.by_meta("phase", f"ph{n % 100}", PAGE),
        ),
        (
            "assign",
            lambda _: ours.set_agent_project("agent", "p", None, "agent", "session"),
            lambda _: plain.assign("agent", "p", "agent", "session"),
        ),
        (
            "heartbeat",
            lambda _: ours.heartbeat_session("session"),
            lambda _: plain.heartbeat("session"),
        ),
    ]


async def measured(kind: str, calls: list[Call], setting: Setting) -> list[Row]:
    """Call ours and the floor by turns, 300 times each after a tenth to warm up: ms."""
    rows: list[Row] = []
    number, most = count(), setting.scaled(CALLS)
    for name, ours, floor in calls:
        taken: dict[str, list[float]] = {"ours": [], "plain table": []}
        for turn in range(-most // 10, most):
            at = next(number) % FILLED
            began = time.perf_counter_ns()
            await ours(at)
            between = time.perf_counter_ns()
            floor(at)
            ended = time.perf_counter_ns()
            if turn >= 0:
                taken["ours"].append((between - began) / 1e6)
                taken["plain table"].append((ended - between) / 1e6)
        rows += latency_rows(f"{kind}{name}", taken)
    return rows


def fsyncs(folder: Path) -> list[Row]:
    """Return what one fsync of an appended page takes: ms."""
    taken = []
    with (folder / "fsync").open("wb") as file:
        for _ in range(100):
            file.write(bytes(4096))
            file.flush()
            began = time.perf_counter_ns()
            os.fsync(file.fileno())
            taken.append((time.perf_counter_ns() - began) / 1e6)
    return latency_rows("an fsync", {"the disk": taken})
