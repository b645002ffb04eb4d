"""Calls of ``version_worker`` on the storage seams, by public names that every version has."""

from __future__ import annotations

import asyncio
import dataclasses
import hashlib
from pathlib import Path
from typing import Any

from projections.journal import Journal
from projections.memories import Memory, MemoryStore, Namespace
from projections.registry import Registry
from projections.sql import SqlStorage


async def registry_write(url: str, number: int) -> None:
    async with Registry(url, by="tests") as registry:
        await registry.register("bot/shared", {"turn": number, "text": "ä"}, metadata={"n": number})
        await registry.register(f"bot-{number}", {"list": [1, 2.5, None]})
        if number:
            await registry.deactivate(f"bot-{number - 1}")


async def registry_read(url: str) -> Any:
    async with Registry(url) as registry:
        history = [one._asdict() for one in await registry.history("bot/shared")]
        return [[one.to_dict() for one in await registry.list_all()], history]


async def journal_write(url: str, number: int) -> None:
    async with Journal(url, by="tests") as journal:
        project = await journal.upsert_project(
            name="p", repo_root="/repo", progress_log_path="/repo/log"
        )
        await journal.insert_entry(
            entry_id=f"entry-{number}",
            project=project,
            ts=f"2026-01-01T00:00:0{number}Z",
            emoji="✅",
            agent="a",
            message=f"Straße {number}",
            meta={"n": number},
            raw_line="line",
            sha256=hashlib.sha256(b"line").hexdigest(),
        )
        await journal.set_agent_project("agent", "p", number or None, "ana", None)


async def journal_read(url: str) -> Any:
    async with Journal(url) as journal:
        project = await journal.fetch_project("p")
        assert project is not None
        entries = await journal.query_entries(project=project, limit=9, message="STRASSE")
        return [
            str(project),
            entries,
            await journal.count_entries(project),
            await journal.get_agent_project("agent"),
        ]


async def memories_write(url: str, number: int) -> None:
    def write() -> None:
        with MemoryStore(url, by="tests") as memories:
            memories.store(
                Memory(f"Mem-{number}", f"text {number}", Namespace("tech-debt"), created_at=1.5)
            )
            memories.store(
                Memory("shared", str(number), Namespace.HELP, embedding=[0.1, float(number)])
            )
            memories.delete(f"Mem-{number - 2}")

    await asyncio.to_thread(write)


async def memories_read(url: str) -> Any:
    def read_all() -> Any:
        with MemoryStore(url) as memories:
            found = memories.get_batch(memories.list_ids())
            history = [one.kind for one in memories.history("shared")]
            return [[dataclasses.asdict(one) for one in found], history]

    return await asyncio.to_thread(read_all)


async def sql_write(url: str, number: int, migrations: str) -> None:
    def write() -> None:
        with SqlStorage(url) as storage:
            storage.apply_migrations(Path(migrations))
            with storage.connection() as connection:
                connection.execute(
                    "INSERT INTO account (id, owner) VALUES (?, ?)", (number, f"owner {number}")
                )
                connection.execute("UPDATE account SET owner = 'first' WHERE id = 0")

    await asyncio.to_thread(write)


async def sql_rebuild(url: str) -> None:
    def rebuild() -> None:
        with SqlStorage(url) as storage:
            storage.rebuild()

    await asyncio.to_thread(rebuild)


async def sql_run(url: str, migrations: str, statements: list[str]) -> None:
    def run() -> None:
        with SqlStorage(url) as storage:
            storage.apply_migrations(Path(migrations))
            with storage.connection() as connection:
                for statement in statements:
                    connection.execute(statement)

    await asyncio.to_thread(run)


async def sql_read(url: str) -> Any:
    def read_all() -> Any:
        with SqlStorage(url) as storage:
            query = "SELECT id, owner FROM account ORDER BY id"
            with storage.connection() as connection:
                rows = [tuple(row) for row in connection.execute(query)]
            storage.rebuild()
            with storage.connection() as connection:
                assert [tuple(row) for row in connection.execute(query)] == rows
            return rows

    return await asyncio.to_thread(read_all)
