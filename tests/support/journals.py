"""Journals for tests, entries to fill them with, and what a log says by itself."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from eventstore import EventStore

if TYPE_CHECKING:
    from projections.journal import Journal

START: Final = datetime(2026, 3, 1, 12, tzinfo=UTC)
PROJECT: Final[dict[str, Any]] = {
    "name": "p",
    "repo_root": "/repo",
    "progress_log_path": "/repo/LOG.md",
}


def checksum(line: str) -> str:
    """Return a line's SHA-256."""
    return hashlib.sha256(line.encode()).hexdigest()


def entry(number: int, project: Any = "p", **changes: Any) -> dict[str, Any]:
    """Return what insert_entry takes: entry ``number``, a second after the one before."""
    values: dict[str, Any] = {
        "entry_id": f"e{number}",
        "project": project,
        "ts": START + timedelta(seconds=number),
        "emoji": "✅",
        "agent": "ana",
        "message": f"message {number}",
        "meta": {"number": number},
        "raw_line": f"[✅] message {number}",
    }
    values |= changes
    return {"sha256": checksum(values["raw_line"]), **values}


async def fill(journal: Journal, count: int, **changes: Any) -> None:
    """Make the project ``p`` with entries 0 to ``count``."""
    await journal.upsert_project(**PROJECT)
    for number in range(count):
        await journal.insert_entry(**entry(number, **changes))


def ids(entries: list[dict[str, Any]]) -> list[str]:
    """Return the entries' ids."""
    return [one["id"] for one in entries]


async def told_by_log(url: str) -> dict[str, Any]:
    """Return what the events of a log say, folded here and in no other way."""
    projects: dict[str, dict[str, Any]] = {}
    assignments: dict[str, tuple[str | None, int]] = {}
    async with EventStore.open(url, notify="none") as log:
        async for event in log.read(streams="journal/"):
            key = event.stream.partition(":")[2]
            if event.type == "ProjectSet":
                projects.setdefault(key, {})
            elif event.type == "ProjectDeleted":
                projects.pop(key)
                gone = [agent for agent, (name, _) in assignments.items() if name == key]
                for agent in gone:
                    del assignments[agent]
            elif event.type == "EntryInserted" and key in projects:
                projects[key][event.data["entry_id"]] = event.data
            elif event.type == "AgentProjectSet":
                assignments[key] = event.data["project_name"], event.version
    return {"projects": projects, "assignments": assignments}


async def told_by_tables(url: str, agents: list[str]) -> dict[str, Any]:
    """Return the same as the journal answers it, checking its metrics and counts."""
    from projections.journal import Journal

    projects: dict[str, dict[str, Any]] = {}
    async with Journal(url, notify="none") as journal:
        for project in await journal.list_projects():
            entries = await journal.fetch_recent_entries(project=project, limit=10_000_000)
            projects[project.name] = {one["id"]: one for one in entries}
            assert len(projects[project.name]) == len(entries)
            metrics = await journal.fetch_project_metrics(project)
            assert metrics is not None
            emojis = [one["emoji"] for one in entries]
            assert metrics == (
                len(entries), emojis.count("✅"), emojis.count("⚠️"), emojis.count("❌")
            )  # fmt: skip
            searched = await journal.count_query_entries(project=project, message="")
            assert metrics.total == searched == await journal.count_entries(project)
        assignments = {}
        for agent in agents:
            if (found := await journal.get_agent_project(agent)) is not None:
                assignments[agent] = found["project_name"], found["version"]
    return {"projects": projects, "assignments": assignments}


def without_sums(told: dict[str, Any]) -> dict[str, Any]:
    """Return what a log tells in the shape of what the tables tell."""
    projects = {
        name: {
            entry_id: {
                "id": entry_id,
                **{key: data[key] for key in data if key not in {"entry_id", "sha256"}},
            }
            for entry_id, data in entries.items()
        }
        for name, entries in told["projects"].items()
    }
    return {**told, "projects": projects}
