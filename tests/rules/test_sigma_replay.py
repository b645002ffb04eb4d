"""Years of other people's real edits, replayed through the master commit by commit."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.master import rejected

from eventstore import EventStore
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import RuleSync

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SAMPLES = 20
PROJECTED = 100

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


class Step(NamedTuple):
    """One commit of the history as it was replayed: the log's head after it, and the oracle."""

    position: int
    changed: bool
    tree_files: int
    tree_sha256: str


def commits_of(history: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(history, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def check_out(root: Path, changes: list[dict[str, str]]) -> bool:
    """Do to the directory what a commit did; return whether any byte of it changed."""
    before: dict[str, bytes | None] = {}
    for change in changes:
        file = root / change["path"]
        before.setdefault(change["path"], file.read_bytes() if file.exists() else None)
        if change["op"] == "delete":
            file.unlink()
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        if "content" in change:
            file.write_bytes(change["content"].encode())
        else:
            file.write_bytes(base64.b64decode(change["base64"]))
    after = {
        path: (root / path).read_bytes() if (root / path).exists() else None for path in before
    }
    return after != before


async def replay(store: EventStore, history: Path, root: Path, format_: str) -> list[Step]:
    master = RuleSync(store, root, format=format_, source="sigma", allow_empty=True)
    steps = []
    for commit in commits_of(history):
        changed = check_out(root, commit["changes"])
        await master.sync_once()
        head = await store.head()
        steps.append(Step(head.position, changed, commit["tree_files"], commit["tree_sha256"]))
    return steps


async def tree_at(store: EventStore, position: int) -> dict[str, bytes]:
    """Fold the log up to a position into files, knowing nothing of the code under test."""
    files: dict[str, bytes] = {}
    async for event in store.read(until=position, streams="rule/"):
        path = event.data["path"]
        if event.type == "RuleRemoved":
            del files[path]
        elif "content" in event.data:
            files[path] = event.data["content"].encode()
        else:
            files[path] = base64.b64decode(event.data["base64"])
    return files


def digest(files: dict[str, bytes]) -> str:
    """Return what the history calls ``tree_sha256``."""
    lines = (f"{hashlib.sha256(files[path]).hexdigest()}  {path}\n" for path in sorted(files))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


async def test_the_log_holds_every_tree_of_the_history(history: Path, root: Path) -> None:
    async with EventStore.open("memory://") as store:
        steps = await replay(store, history, root, "raw")
        ends = [after.position for after in steps]
        starts = [0, *ends[:-1]]
        assert [end > start for start, end in zip(starts, ends, strict=True)] == [
            step.changed for step in steps
        ]
        commits = {event.commit async for event in store.read()}
        assert commits == {step.position for step in steps if step.changed}
        sampled = [*steps[:: len(steps) // SAMPLES], steps[-1]]
        for step in sampled:
            files = await tree_at(store, step.position)
            assert (len(files), digest(files)) == (step.tree_files, step.tree_sha256)
        again = RuleSync(store, root, format="raw", source="sigma")
        assert (await again.sync_once()).position is None


@pytest.mark.promise("projection")
async def test_the_projected_tree_equals_the_oracle_at_every_sampled_commit(
    history: Path, root: Path, tmp_path: Path
) -> None:
    live = tmp_path / "live"
    async with EventStore.open("memory://") as store:
        steps = await replay(store, history, root, "raw")
        runner = ProjectionRunner(store, DirectoryProjection(live, fsync=False))
        for step in [*steps[:: len(steps) // PROJECTED], steps[-1]]:
            await runner.catch_up(until=step.position)
            files = {
                str(path.relative_to(live)): path.read_bytes()
                for path in live.rglob("*")
                if path.is_file() and not path.name.startswith(".eventstore")
            }
            assert (len(files), digest(files)) == (step.tree_files, step.tree_sha256)


async def test_sigma_takes_or_refuses_every_state_with_a_reason(history: Path, root: Path) -> None:
    async with EventStore.open("memory://") as store:
        steps = await replay(store, history, root, "sigma")
        refusals = [event async for event in store.read(types={"RuleRejected"})]
        assert all(event.data["reason"] and event.data["path"] for event in refusals)
        report = await RuleSync(store, root, format="sigma", source="sigma").sync_once()
        assert report.position is None
        assert report.unchanged + report.rejected == steps[-1].tree_files
        assert len(await rejected(store)) == report.rejected
