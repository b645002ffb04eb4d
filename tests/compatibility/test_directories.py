"""A directory that this version publishes by a journal, read and continued by a released one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.journalled import copied_at_each_step, journal_small_ones, lines_in
from support.projected_rules import Master, a_master
from support.waiting import eventually

from projections import DirectoryProjection, ProjectionRunner
from projections.directory.manifest import MANIFEST, decode, read_tree
from projections.rules import RuleReplica

from .versions import release_names

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from .versions import Version

pytestmark = [
    pytest.mark.promise("releases"),
    pytest.mark.slow,
    pytest.mark.anyio,
    pytest.mark.parametrize("anyio_backend", ["asyncio"]),
]


@pytest.fixture(params=release_names())
def old(request: pytest.FixtureRequest, running: dict[str, Version]) -> Version:
    """Give a process of a released version."""
    return running[request.param]


@pytest.fixture
async def master(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Master]:
    """Give a log with two rules, published whole."""
    journal_small_ones(monkeypatch)
    async with a_master(tmp_path) as master:
        await master.edit("A", "B")
        await master.project()
        yield master


def url(master: Master) -> str:
    return f"sqlite:///{master.live.parent}/events.db"


class Step:
    """One step of the history: what is done, and what the directory says then."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self.directory = DirectoryProjection(master.live, fsync=False)
        self.known: dict[int, dict[str, str]] = {}

    async def open(self) -> None:
        self.directory.open((await self.master.log.head()).log_id)
        self.note()

    async def publish(self) -> None:
        log = self.master.log
        events = [event async for event in log.read(after=self.directory.position)]
        self.directory.apply(events, (await log.head()).cursor)
        self.note()

    def note(self, position: int | None = None) -> None:
        files = {path.name: path.read_text() for path in self.master.rules.iterdir()}
        self.known[position or self.directory.position] = files

    async def edit(self, *rule_ids: str, name: str) -> None:
        await self.master.edit(*rule_ids, name=name)
        await self.publish()


def check_told(version: Version, root: Path, known: dict[int, dict[str, str]]) -> None:
    """What a version reads is a state that was published, or none that it can trust yet."""
    found = version.call("tree", directory=str(root))
    if found != ["UnsettledTreeError"]:
        assert known[found[0]] == found[1]
    position, rules = version.call("replica", directory=str(root))
    assert sorted(f"{rule_id}.yml" for rule_id, _ in rules) == sorted(known[position])
    for rule_id, rule in rules:
        assert rule["name"] in known[position][f"{rule_id}.yml"]


async def test_the_earlier_version_continues_what_a_kill_leaves_at_any_step(
    master: Master, old: Version, tmp_path: Path
) -> None:
    steps = Step(master)
    await steps.open()
    with copied_at_each_step(master.live, tmp_path / "copies"):
        await steps.edit("A", name="second")
        await steps.edit("A", "C", name="third")
        await steps.edit("C", name="fourth")
        await master.remove("B")
        await steps.publish()
        steps.directory.close()
    # Later than all that is published, so that no file is already what it has to be.
    await master.edit("A", "C", name="later")
    newest = (await master.log.head()).position
    steps.note(newest)
    copies = sorted((tmp_path / "copies").iterdir(), key=lambda path: int(path.name))
    assert {lines_in(copy) for copy in copies} >= {-1, 1, 2}
    for copy in copies:
        check_told(old, copy, steps.known)
        old.call("project", url=url(master), directory=str(copy))
        manifest = decode((copy / MANIFEST).read_bytes(), str(copy))
        assert (manifest.position, manifest.set_aside) == (newest, [])
        assert old.call("tree", directory=str(copy)) == [newest, steps.known[newest]]
        assert read_tree(copy)[0].position == newest
        reader = RuleReplica(copy)
        await reader.load_compiled()
        assert reader.position == newest


async def test_the_earlier_version_beside_a_running_one_is_told_within_a_second(
    master: Master, old: Version
) -> None:
    keeper = ProjectionRunner(master.log, DirectoryProjection(master.live))
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(keeper.run)
        for number in range(3):
            await master.edit("A", name=f"n{number}")
            at = (await master.log.head()).position

            async def told(at: int = at) -> bool:
                shown = await anyio.to_thread.run_sync(
                    lambda: old.call("tree", directory=str(master.live))[0]
                )
                return bool(shown == at)

            await eventually(told)
            assert old.call("replica", directory=str(master.live))[0] == at
        tasks.cancel_scope.cancel()
