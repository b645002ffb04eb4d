"""Rules from a directory whose replica file is continued by a journal, whole or copied in part."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING

import pytest
from support.journalled import journal_small_ones, lines_in
from support.projected_rules import Master, told
from support.waiting import take

from eventstore import HistoryDivergedError
from projections import DirectoryProjection
from projections.directory.commit_journal import JOURNAL
from projections.rules import RuleReplica, RuleState
from projections.rules import _replica_fold as replica_fold
from projections.rules.replica_file import REPLICA_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


pytestmark = pytest.mark.anyio


class Live:
    """A projected directory that stays open, so that its journal is not written whole."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self.root = master.live
        self.directory = DirectoryProjection(master.live, fsync=False)

    async def edit(self, *rule_ids: str, name: str) -> None:
        """Save rules as one commit, and publish it."""
        await self.master.edit(*rule_ids, name=name)
        await self.publish()

    async def publish(self) -> None:
        """Publish what the log has and the directory lacks."""
        log = self.master.log
        events = [event async for event in log.read(after=self.directory.position)]
        self.directory.apply(events, (await log.head()).cursor)

    def copy(self, target: Path, name: str) -> None:
        """Copy one file, or remove it where there is none."""
        source = self.root / name
        if source.exists():
            shutil.copyfile(source, target / ".part")
            (target / ".part").replace(target / name)
        else:
            (target / name).unlink(missing_ok=True)


@pytest.fixture
async def live(master: Master, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Live]:
    """Give a directory with three rules, which are published whole."""
    journal_small_ones(monkeypatch)
    await master.edit("A", "B", "C")
    await master.project()
    live = Live(master)
    live.directory.open((await master.log.head()).log_id)
    yield live
    live.directory.close()


@pytest.mark.promise("replica")
@pytest.mark.parametrize("recent", [3, 1_000])
async def test_a_replica_says_what_the_log_says_line_by_line(
    recent: int, live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_fold, "RECENT_CHANGES", recent)
    dice, master = random.Random(7), live.master
    reader = RuleReplica(live.root)
    await reader.load_compiled()
    commits, lines = reader.subscribe_commits(), set()
    for number in range(12):
        rule_id = dice.choice("ABCD")
        match dice.randrange(6):
            case 0 if (master.rules / f"{rule_id}.yml").exists():
                await master.remove(rule_id)
                expected = [(rule_id, "")]
            case 1 | 2:
                state = RuleState("clipped", number / 100)
                await master.state(rule_id, state)
                expected = [(rule_id, "clipped")]
            case _:
                await master.edit("A", rule_id, name=f"n{number}")
                expected = [(one, f"n{number}") for one in sorted({"A", rule_id})]
        await live.publish()
        lines.add(lines_in(live.root))
        assert await reader.load_compiled() == await master.states.load_compiled()
        assert told((await take(commits, 1))[0]) == expected
        assert reader.position == live.directory.position
    assert max(lines) > 2


@pytest.mark.promise("replica")
async def test_a_journal_that_is_being_copied_never_takes_a_reader_back(
    live: Live, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(live.root, copy)
    reader, dice = RuleReplica(copy, poll=0.01), random.Random(4)
    await reader.load_compiled()
    changes = reader.subscribe_changes()
    for number in range(3):
        await live.edit("A", "B", name=f"n{number}")
        raw = (live.root / JOURNAL).read_bytes()
        known = "first" if number == 0 else f"n{number - 1}"
        with (copy / JOURNAL).open("wb") as file:  # in place, as some ways to copy do it
            for cut in sorted(dice.sample(range(len(raw)), 5)):
                file.write(raw[file.tell() : cut])
                file.flush()
                names = {rule.name for rule in await reader.load_compiled()}
                assert names == {known, "first"}
                assert number == 0 or not reader.trouble or "being copied" in reader.trouble
            file.write(raw[file.tell() :])
        assert told(await take(changes, 2)) == [("A", f"n{number}"), ("B", f"n{number}")]
        assert reader.trouble == ""


@pytest.mark.promise("replica")
async def test_journal_and_file_may_arrive_in_any_order_or_never(
    live: Live, tmp_path: Path
) -> None:
    copy, dice = tmp_path / "copy", random.Random(2)
    shutil.copytree(live.root, copy)
    reader = RuleReplica(copy, poll=0.01)
    published, seen = {live.directory.position: "first"}, 0
    for number in range(15):
        if dice.random() < 0.3:
            live.directory.compact()
        await live.edit("A", name=f"n{number}")
        published[live.directory.position] = f"n{number}"
        names = [REPLICA_NAME, JOURNAL]
        for name in dice.sample(names, dice.randrange(3)):
            live.copy(copy, name)
            rules = {rule.rule_id: rule.name for rule in await reader.load_compiled()}
            assert rules["A"] == published[reader.position]
            assert reader.position >= seen
            seen = reader.position
    for name in names:
        live.copy(copy, name)
    await reader.load_compiled()
    assert (reader.position, reader.trouble) == (live.directory.position, "")


async def test_an_older_copy_is_still_an_error(live: Live, tmp_path: Path) -> None:
    older = tmp_path / "older"
    shutil.copytree(live.root, older)
    await live.edit("A", name="second")
    live.directory.compact()
    await live.edit("A", name="third")
    reader = RuleReplica(live.root, poll=0.01)
    await reader.load_compiled()
    changes = reader.subscribe_changes()
    live.directory.close()
    shutil.rmtree(live.root)
    shutil.copytree(older, live.root)
    with pytest.raises(HistoryDivergedError, match="older copy"):
        await anext(changes)
