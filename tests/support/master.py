"""Directories of rule files for the master to read, and what it made of them."""

from __future__ import annotations

from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

import anyio

from projections.rules import RuleSync, SourceError
from projections.rules.sources._bound_reads import list_inside
from projections.rules.sources.debounce import DebounceTimes
from support.waiting import collect, eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    import pytest

    from eventstore import Event, EventStore
    from projections.rules import SyncReport

    Sync = Callable[..., Awaitable[SyncReport]]

QUICK: Final = DebounceTimes(whole=0.03, incomplete=0.15, longest=5.0)
"""Settling times under which every way to save a file is still seen as one change."""

NEVER: Final = 3600.0
"""A rescan interval that leaves everything to the watcher."""


def ttp(rule_id: str, name: str = "first") -> str:
    """Return the text of a valid rule."""
    return (
        f"rule_id: {rule_id}\nrule_version: 1\nname: {name}\napplies_to: [process]\n"
        "match: {image: cmd.exe}\n"
        "emits: [{tactic: execution, technique_id: T1059, confidence: 0.5}]\n"
    )


def lock_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let scans find that a folder ``locked`` cannot be listed; to root nothing is locked."""

    def refusing(folder: str, real_root: str) -> object:
        if folder.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return list_inside(folder, real_root)

    monkeypatch.setattr("projections.rules.sources._tree_walk.list_inside", refusing)


def fill(root: Path, files: dict[str, str]) -> Path:
    """Write files below ``root``, folders included; return ``root``."""
    for path, text in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    root.mkdir(parents=True, exist_ok=True)
    return root


async def head_position(store: EventStore) -> int:
    """Return the position of the log's head."""
    return (await store.head()).position


async def logged(store: EventStore, *types: str) -> list[Event]:
    """Return every event of these types, all of them without any."""
    return await collect(store.read(types=set(types) or None))


async def told(store: EventStore, after: int = 0) -> list[tuple[str, Any]]:
    """Return type and rule id (or path, for rejections) of every event after a position."""
    events = await collect(store.read(after=after))
    return [(event.type, event.data.get("rule_id", event.data["path"])) for event in events]


async def standing(store: EventStore) -> dict[str, tuple[str, str]]:
    """Return path and content of each rule that stands, by id: a fold of its own."""
    rules: dict[str, tuple[str, str]] = {}
    async for event in store.read(streams="rule/"):
        rule_id = event.stream.removeprefix("rule/")
        if event.type == "RuleDefined":
            rules[rule_id] = event.data["path"], event.data.get("content", "")
        elif event.type == "RuleRemoved":
            del rules[rule_id]
    return rules


async def rejected(store: EventStore) -> dict[str, str]:
    """Return the reason for each file that is rejected now, by path."""
    files: dict[str, str] = {}
    async for event in store.read(streams="source/"):
        if event.type == "RuleRejected":
            files[event.data["path"]] = event.data["reason"]
        elif event.type == "RejectionEnded":
            del files[event.data["path"]]
    return files


async def stands(store: EventStore, rule_id: str, content: str | None) -> None:
    """Return once the rule has this content, or is gone where that is ``None``."""

    async def so() -> bool:
        rule = (await standing(store)).get(rule_id)
        return rule is None if content is None else rule is not None and rule[1] == content

    await eventually(so)


@asynccontextmanager
async def following(store: EventStore, root: Path, **settings: Any) -> AsyncIterator[None]:
    """Run a master over ``root`` for the block, after a first look where it is there."""
    with_defaults: dict[str, Any] = {"debounce": QUICK, "rescan_seconds": NEVER, "source": "test"}
    with_defaults |= settings
    with suppress(SourceError):
        await RuleSync(store, root, **with_defaults).sync_once()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(RuleSync(store, root, **with_defaults).run)
        yield
        tasks.cancel_scope.cancel()


async def marked(store: EventStore, root: Path) -> None:
    """Return once an edit made now is in the log, and so are all edits noticed before."""
    count = len(await logged(store, "RuleDefined", "RuleRemoved"))
    name = f"marker{count}"
    (root / f".{name}").write_text(ttp(name))
    (root / f".{name}").rename(root / f"{name}.yml")
    await stands(store, name, ttp(name))
