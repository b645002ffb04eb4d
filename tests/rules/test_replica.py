"""Rules from a projected directory alone: shared, copied, torn, damaged, replaced."""

from __future__ import annotations

import os
import random
import shutil
import sys
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.commands import environment
from support.logs import FakeClock
from support.master import ttp
from support.waiting import eventually, take

from eventstore import EventStore, HistoryDivergedError, StorageError
from projections import DirectoryProjection, ProjectionRunner
from projections.directory.manifest import MANIFEST
from projections.rules import (
    CompiledRule,
    FeedError,
    ReadOnlyError,
    RuleReplica,
    RuleState,
    RuleStore,
    RuleSync,
    get_rule_store,
    replica,
)
from projections.rules import _replica_fold as replica_fold
from projections.rules.replica_file import REPLICA_FORMAT, REPLICA_NAME

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from projections.rules import RuleChange

pytestmark = pytest.mark.anyio


class Master:
    """A log, the directory of rules that goes into it, and the one that comes out."""

    def __init__(self, log: EventStore, directory: Path) -> None:
        self.log = log
        self.rules = directory / "rules"
        self.live = directory / "live"
        self.rules.mkdir(exist_ok=True)
        self.states = RuleStore(log)

    async def edit(self, *rule_ids: str, name: str = "first") -> None:
        """Save rules as one commit."""
        for rule_id in rule_ids:
            (self.rules / f"{rule_id}.yml").write_text(ttp(rule_id, name))
        await self._sync()

    async def remove(self, *rule_ids: str) -> None:
        """Delete rules as one commit."""
        for rule_id in rule_ids:
            (self.rules / f"{rule_id}.yml").unlink()
        await self._sync()

    async def _sync(self) -> None:
        await RuleSync(self.log, self.rules, source="test", allow_empty=True).sync_once()

    async def state(self, rule_id: str, state: RuleState) -> None:
        """Set a state."""
        await self.states.set_state(rule_id, state, set_by="ana")

    async def project(self) -> None:
        """Bring the directory up to date, and let it go."""
        await self.runner().catch_up()

    def runner(self) -> ProjectionRunner:
        """Return what projects the directory."""
        return ProjectionRunner(self.log, DirectoryProjection(self.live, fsync=False))


@asynccontextmanager
async def a_master(directory: Path, clock: FakeClock | None = None) -> AsyncIterator[Master]:
    directory.mkdir(exist_ok=True)
    settings: dict[str, Any] = {} if clock is None else {"clock": clock}
    async with EventStore.open(f"sqlite:///{directory}/events.db", **settings) as log:
        yield Master(log, directory)


@pytest.fixture
async def master(tmp_path: Path) -> AsyncIterator[Master]:
    """Give a master without rules."""
    async with a_master(tmp_path) as master:
        yield master


def told(changes: list[RuleChange]) -> list[tuple[str, str]]:
    """Return each rule with its new name or state; an empty name where it is gone."""
    return [
        (rule_id, value.name if isinstance(value, CompiledRule) else value.state)
        for _, rule_id, value in changes
    ]


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


@pytest.mark.promise("replica")
async def test_nothing_half_copied_is_ever_used(master: Master, tmp_path: Path) -> None:
    await master.edit("A")
    await master.project()
    copy = tmp_path / "copy"
    shutil.copytree(master.live, copy)
    reader = RuleReplica(copy, poll=0.01)
    await reader.load_compiled()
    changes = reader.subscribe_changes()
    rng = random.Random(8)
    for number in range(10):
        await master.edit("A", "B", "C", name=f"n{number}")
        await master.project()
        whole = (master.live / REPLICA_NAME).read_bytes()
        with (copy / REPLICA_NAME).open("wb") as file:  # in place, as some ways to copy do it
            for cut in sorted(rng.sample(range(1, len(whole)), 5)):
                file.write(whole[file.tell() : cut])
                file.flush()
                names = {rule.name for rule in await reader.load_compiled()}
                assert names == ({"first"} if number == 0 else {f"n{number - 1}"})
                assert "not whole" in reader.trouble
            file.write(whole[file.tell() :])
        assert told(await take(changes, 3)) == [(one, f"n{number}") for one in "ABC"]
        assert reader.trouble == ""


@pytest.mark.promise("replica")
async def test_files_may_arrive_in_any_order_or_never(master: Master, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    reader = RuleReplica(copy, poll=0.01)
    published: dict[int, str] = {}
    rng = random.Random(3)
    for number in range(8):
        await master.edit("A", "B", name=f"n{number}")
        await master.project()
        files = [path for path in sorted(master.live.iterdir()) if path.suffix != ".owner"]
        rng.shuffle(files)
        copy.mkdir(exist_ok=True)
        arrived = files[: rng.randrange(len(files) + 1)] if number else files
        for path in arrived:
            shutil.copyfile(path, copy / ".part")
            (copy / ".part").replace(copy / path.name)
        published[(await master.log.head()).position] = f"n{number}"
        rules = await reader.load_compiled()
        assert [rule.name for rule in rules] == [published[reader.position]] * 2


async def test_what_is_damaged_leaves_the_last_good_rules(master: Master) -> None:
    await master.edit("A")
    await master.project()
    file = master.live / REPLICA_NAME
    good = file.read_bytes()
    reader = RuleReplica(master.live)
    await reader.load_compiled()
    body = good.partition(b"\n")[2]
    bad = [
        b"",
        b"\0" * 100,
        body,
        good[:-1],
        good.replace(b'"A"', b'"B"'),
        *(signed(content) for content in (b"{}", b"[", b"[" * 100_000, b'{"format": 2}')),
        signed(body.replace(b'"hash":"', b'"hash":"x')),
    ]
    for content in bad:
        file.write_bytes(content)
        assert [rule.rule_id for rule in await reader.load_compiled()] == ["A"]
        assert reader.trouble
        with pytest.raises(FeedError):
            REPLICA_FORMAT.decode(content, "here")
    for make in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")):
        remove(file)
        make(file)
        assert [rule.rule_id for rule in await reader.load_compiled()] == ["A"]
        assert reader.trouble
    remove(file)
    assert [rule.rule_id for rule in await reader.load_compiled()] == ["A"]
    await master.project()
    assert [rule.rule_id for rule in await reader.load_compiled()] == ["A"]
    assert (reader.trouble, file.read_bytes()) == ("", good)


def signed(body: bytes) -> bytes:
    """Return a body with a checksum that is right."""
    whole = REPLICA_FORMAT.empty("any").encode()
    digest = sha256(body).hexdigest().encode()
    assert whole.partition(b"\n")[0] != digest
    return digest + b"\n" + body


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
    reader = RuleReplica(master.live, poll=60)
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


async def test_an_older_directory_and_one_that_was_cut_short_are_completed(master: Master) -> None:
    await master.edit("A")
    await master.project()
    older = (master.live / REPLICA_NAME).read_bytes()
    await master.edit("A", name="second")
    await master.project()
    good, manifest = (
        (master.live / REPLICA_NAME).read_bytes(),
        (master.live / MANIFEST).read_bytes(),
    )
    # Without the file, as an earlier version left it; and with one that is behind or ahead.
    for content in (None, older, good):
        (master.live / REPLICA_NAME).unlink()
        if content is not None:
            (master.live / REPLICA_NAME).write_bytes(content)
        await master.project()
        assert (master.live / REPLICA_NAME).read_bytes() == good
        assert (master.live / MANIFEST).read_bytes() == manifest


async def test_a_running_projection_mends_it(master: Master) -> None:
    await master.edit("A")
    runner = ProjectionRunner(
        master.log, DirectoryProjection(master.live, fsync=False), heal_seconds=0.02
    )
    file = master.live / REPLICA_NAME
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)

        async def whole() -> bool:
            return file.exists() and REPLICA_FORMAT.decode(file.read_bytes(), "").position == 1

        await eventually(whole)
        file.write_bytes(b"spoiled")

        async def mended() -> bool:
            return file.read_bytes() != b"spoiled"

        await eventually(mended)
        assert await whole()
        tasks.cancel_scope.cancel()


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
