"""Rules from a projected directory alone, as the log says them."""

from __future__ import annotations

import random
import shutil
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import anyio
import pytest
from support.commands import environment
from support.projected_rules import Master, a_master, told
from support.waiting import eventually, take

from eventstore import EventStore, HistoryDivergedError, StorageError
from eventstore.testing import FakeClock
from projections.rules import (
    FeedError,
    ReadOnlyError,
    RuleReplica,
    RuleState,
    get_rule_store,
    replica,
)
from projections.rules import _replica_fold as replica_fold
from projections.rules.replica_file import REPLICA_FORMAT, REPLICA_NAME

if TYPE_CHECKING:
    from pathlib import Path

    from projections.rules import RuleChange


pytestmark = pytest.mark.anyio


@pytest.mark.slow
async def test_a_replica_says_what_the_log_says(master: Master) -> None:
    rng = random.Random(5)
    reader = RuleReplica(master.live)
    for _ in range(40):
        rule_id = f"R{rng.randrange(6)}"
        if (master.rules / f"{rule_id}.yml").exists() and rng.random() < 0.4:
            await master.remove(rule_id)
        elif rng.random() < 0.5:
            await master.edit(rule_id, name=f"n{rng.random()}")
        else:
            await master.state(rule_id, RuleState(rng.choice(["enabled", "disabled", "clipped"])))
        await master.project()
        assert await reader.load_compiled() == await master.states.load_compiled()
        for number in range(6):
            rule_id = f"R{number}"
            assert await reader.get_state(rule_id) == await master.states.get_state(rule_id)
    before = (master.live / REPLICA_NAME).read_bytes()
    await master.runner().rebuild()
    assert (master.live / REPLICA_NAME).read_bytes() == before


async def test_several_commits_between_two_looks_are_each_told(master: Master) -> None:
    await master.edit("A")
    await master.project()
    reader = RuleReplica(master.live)
    await reader.load_compiled()
    changes, commits = reader.subscribe_changes(), reader.subscribe_commits()
    await master.edit("A", "B", name="second")
    await master.state("B", RuleState("disabled"))
    await master.edit("A", name="third")
    await master.remove("B")
    await master.project()
    expected = [("A", "second"), ("B", "second"), ("B", "disabled"), ("A", "third"), ("B", "")]
    assert told(await take(changes, 5)) == expected
    whole = await take(commits, 4)
    assert [told(commit) for commit in whole] == [expected[:2], *([one] for one in expected[2:])]
    assert reader.position == (await master.log.head()).position


@pytest.mark.promise("replica")
async def test_who_was_away_for_long_gets_the_latest_word_on_each_rule(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica_fold, "RECENT_CHANGES", 3)
    await master.edit("A", "B", "C")
    await master.project()
    reader = RuleReplica(master.live)
    await reader.load_compiled()
    changes, commits = reader.subscribe_changes(), reader.subscribe_commits()
    for number in range(5):
        await master.edit("A", name=f"edit{number}")
    await master.remove("B")
    for number in range(5):
        await master.state("C", RuleState("clipped", number / 10))
    await master.project()
    expected = [("A", "edit4"), ("B", ""), ("C", "clipped")]
    assert told(await take(changes, 3)) == expected
    assert told((await take(commits, 1))[0]) == expected
    assert (await reader.get_state("C")).confidence_max == 0.4


def remove(path: Path) -> None:
    """Remove the file, link or directory."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


async def test_without_a_directory_there_is_an_error_that_says_so(
    master: Master, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "TORN_SECONDS", 0.05)
    reader = RuleReplica(master.live)
    with pytest.raises(StorageError, match="no projected directory"):
        await reader.load_compiled()
    with pytest.raises(StorageError, match="no projected directory"):
        reader.subscribe_changes()
    master.live.mkdir()
    (master.live / REPLICA_NAME).write_bytes(b"half")
    with pytest.raises(FeedError, match="not whole"):
        await reader.get_state("A")
    shutil.rmtree(master.live)
    await master.project()
    assert await reader.load_compiled() == []


async def test_a_reader_that_waits_hears_of_a_change_and_of_closing(master: Master) -> None:
    await master.project()
    reader = RuleReplica(master.live, poll=3600)
    changes = reader.subscribe_changes()
    seen: list[RuleChange] = []

    async def follow() -> None:
        seen.append(await anext(changes))
        with pytest.raises(StopAsyncIteration):
            await anext(changes)
        seen.append(seen[0])

    async def heard() -> bool:
        return bool(seen)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follow)
        tasks.start_soon(master.runner().run)
        await master.edit("A")
        await eventually(heard)
        await changes.aclose()

        async def ended() -> bool:
            return len(seen) == 2

        await eventually(ended)
        tasks.cancel_scope.cancel()
    assert told(seen[:1]) == [("A", "first")]


@pytest.mark.promise("replica")
async def test_another_history_is_an_error_and_never_silence(
    master: Master, tmp_path: Path
) -> None:
    await master.edit("A")
    await master.project()
    shutil.copytree(master.live, tmp_path / "older")
    copy = tmp_path / "events.copy"
    await master.log.backup(copy)
    await master.edit("A", name="lost")
    await master.project()
    reader = RuleReplica(master.live)
    await reader.load_compiled()
    changes = reader.subscribe_changes()
    (tmp_path / "other").mkdir()
    await EventStore.restore(copy, f"sqlite:///{tmp_path}/other/events.db")
    async with a_master(tmp_path / "other") as other:
        await other.edit("A", name="went")
        await other.edit("A", name="another way")
        await other.project()
        put(other.live, master.live)
        with pytest.raises(HistoryDivergedError, match="another way"):
            await anext(changes)
    (rule,) = await reader.load_compiled()
    assert rule.name == "another way"
    again = reader.subscribe_changes()
    put(tmp_path / "older", master.live)
    with pytest.raises(HistoryDivergedError, match="older copy"):
        await anext(again)
    async with a_master(tmp_path / "third") as third:
        await third.edit("A", "B", "C", "D", "E", "F")
        await third.project()
        put(third.live, master.live)
        with pytest.raises(HistoryDivergedError, match="another log"):
            await anext(again)


def put(source: Path, target: Path) -> None:
    """Copy what a replica reads, at once."""
    shutil.copyfile(source / REPLICA_NAME, target / ".part")
    (target / ".part").replace(target / REPLICA_NAME)


async def test_nothing_can_be_written(master: Master) -> None:
    await master.project()
    reader = RuleReplica(master.live)
    with pytest.raises(ReadOnlyError, match="eventstore state"):
        await reader.set_state("A", RuleState("disabled"), set_by="ana")


async def test_a_state_that_has_expired_reads_as_the_default(tmp_path: Path) -> None:
    clock = FakeClock()
    async with a_master(tmp_path, clock) as master:
        ends = datetime.fromtimestamp(clock.now_us / 1e6, UTC) + timedelta(seconds=60)
        await master.edit("A")
        await master.state("A", RuleState("disabled", expires_at=ends))
        await master.project()
    reader = RuleReplica(master.live, clock=clock)
    assert (await reader.get_state("A")).state == "disabled"
    clock.now_us += 60_000_000
    assert await reader.get_state("A") == RuleState()
    assert [rule.state for rule in await reader.load_compiled()] == [RuleState()]


async def test_redacted_content_is_in_the_directory_no_more(master: Master) -> None:
    await master.edit("A", name="secret one")
    await master.edit("A", name="public")
    await master.state("A", RuleState("disabled", reason="secret two"))
    await master.project()
    reader = RuleReplica(master.live)
    await reader.load_compiled()
    changes = reader.subscribe_changes()
    await master.log.redact(1, "a name was in it")
    await master.log.redact(3, "a name was in it")
    await master.project()
    assert b"secret" not in (master.live / REPLICA_NAME).read_bytes()
    assert told(await take(changes, 1)) == [("A", "enabled")]
    await master.log.redact(2, "all of it")
    await master.project()
    assert told(await take(changes, 1)) == [("A", "")]
    assert await reader.load_compiled() == []
    before = (master.live / REPLICA_NAME).read_bytes()
    await master.runner().rebuild()
    assert replica_files_alike(before, (master.live / REPLICA_NAME).read_bytes())


def replica_files_alike(one: bytes, other: bytes) -> bool:
    """Whether two feeds stand for the same; what both have of the past may differ in length."""
    first, second = REPLICA_FORMAT.decode(one, ""), REPLICA_FORMAT.decode(other, "")
    return (first.rules, first.states, first.cursor) == (second.rules, second.states, second.cursor)


async def test_the_settings_choose_it(master: Master, monkeypatch: pytest.MonkeyPatch) -> None:
    await master.edit("A")
    await master.project()
    monkeypatch.setenv("EVENTSTORE_RULE_STORE_TYPE", " Replica ")
    monkeypatch.setenv("EVENTSTORE_RULES_DIR", str(master.live))
    store = get_rule_store()
    assert isinstance(store, RuleReplica)
    assert store is get_rule_store()
    assert [rule.rule_id for rule in await store.load_compiled()] == ["A"]


async def test_the_command_line_lists_it(master: Master) -> None:
    await master.edit("A")
    await master.state("A", RuleState("disabled"))
    await master.project()
    words = [sys.executable, "-m", "eventstore.cli", "rules", "--from"]
    listed = await anyio.run_process([*words, str(master.live)], env=environment())
    assert b"disabled" in listed.stdout
    failed = await anyio.run_process([*words, "nowhere"], env=environment(), check=False)
    assert (failed.returncode, failed.stderr.count(b"\n")) == (1, 1)
    assert b"no projected directory" in failed.stderr
