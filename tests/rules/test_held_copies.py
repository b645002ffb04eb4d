"""Held rules in copies: directories, replicas and routes stay at a moment, and are released."""

from __future__ import annotations

import random
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from support.master import fill, logged, ttp
from support.processes import child
from support.projected_rules import told
from support.rule_events import definition_data
from support.served import serving_log
from support.waiting import eventually, take

from eventstore import EventStore, NewEvent, StreamWrite
from eventstore.errors import HistoryGoneError
from projections import DirectoryProjection, ProjectionRunner
from projections.directory import read_tree
from projections.directory.drift import ExpectedFiles, find_drift
from projections.rules import RuleReplica, RuleState, RuleStore, keep_rules
from projections.rules.holds import hold_rules, release_rules
from projections.rules.model import encode_state
from projections.rules.replica_file import REPLICA_NAME
from projections.rules.rule_files import RULE_FILES

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.master import Sync

    from projections.directory.projection import DirectoryProjection as Directory

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


def directory(root: Path, **options: Any) -> Directory:
    return DirectoryProjection(root, fsync=False, **options)


async def project(store: EventStore, root: Path, **options: Any) -> dict[str, bytes]:
    """Bring a directory up to date; return its rule files."""
    await ProjectionRunner(store, directory(root, **options)).catch_up()
    return dict(read_tree(root)[1])


async def hold(store: EventStore, position: int) -> int:
    return (await hold_rules(store, position, by="ana", reason="incident")).position


@pytest.mark.parametrize("atomic", [False, True])
async def test_a_directory_and_its_replica_stay_at_the_moment_until_the_release(
    store: EventStore, root: Path, sync: Sync, tmp_path: Path, atomic: bool
) -> None:
    fill(root, {"1.yml": ttp("R1"), "2.yml": ttp("R2")})
    await sync()
    good = (await store.head()).position
    live = tmp_path / "live"
    first = await project(store, live, atomic=atomic)
    fill(root, {"1.yml": ttp("R1", "second"), "3.yml": ttp("R3")})
    (root / "2.yml").unlink()
    await sync()
    await project(store, live)
    replica = RuleReplica(live)
    await replica.load_compiled()
    changes = replica.subscribe_commits()

    await hold(store, good)
    assert await project(store, live) == first
    (back,) = await take(changes, 1)
    assert sorted(told(back)) == [("R1", "first"), ("R2", "first"), ("R3", "")]

    fill(root, {"1.yml": ttp("R1", "third")})
    await sync()
    await RuleStore(store).set_state("R1", RuleState("disabled"), set_by="ops")
    assert await project(store, live) == first
    assert told((await take(changes, 1))[0]) == [("R1", "disabled")]
    assert await replica.load_compiled() == await RuleStore(store).load_compiled()
    (live / "2.yml").write_text("damaged")  # What a hold restored is mended from its own event.
    assert await project(store, live) == first
    expected = ExpectedFiles(RULE_FILES)
    await ProjectionRunner(store, expected).catch_up()
    assert find_drift(live, expected.files) == []

    await release_rules(store, by="ana")
    assert await project(store, live) == {
        "1.yml": ttp("R1", "third").encode(),
        "3.yml": ttp("R3").encode(),
    }
    (on,) = await take(changes, 1)
    assert sorted(told(on)) == [("R1", "third"), ("R2", ""), ("R3", "first")]


RULES = ("R1", "R2", "R3", "R4")


def some_write(chance: random.Random) -> StreamWrite:
    rule_id = chance.choice(RULES)
    kind = chance.choice(("defined", "defined", "moved", "removed", "broken", "state"))
    name = f"{chance.choice(RULES)}.yml" if kind == "moved" else f"{rule_id}.yml"
    defined = definition_data(rule_id, name, b"%d" % chance.randrange(1000))
    state: Any = {"state": encode_state(RuleState("disabled", reason=str(chance.random())))}
    event = {
        "defined": NewEvent("RuleDefined", defined),
        "moved": NewEvent("RuleDefined", defined),
        "removed": NewEvent("RuleRemoved", {}),
        "broken": NewEvent("RuleDefined", {"path": 7}),
        "state": NewEvent("RuleStateSet", state),
    }[kind]
    return StreamWrite(f"{'rule-state' if kind == 'state' else 'rule'}/{rule_id}", [event])


async def some_act(store: EventStore, chance: random.Random) -> None:
    """Change rules, or hold, release or redact."""
    head = (await store.head()).position
    act = chance.choice(("write", "write", "write", "hold", "release", "redact"))
    if act == "write" or head < 3:
        streams: dict[str, StreamWrite] = {}
        for write in (some_write(chance) for _ in range(chance.randint(1, 3))):
            streams.setdefault(write.stream, write)
        await store.append_many(list(streams.values()))
    elif act == "hold":
        await hold(store, chance.randrange(head + 1))
    elif act == "release":
        await store.append("rule-hold/all", [NewEvent("RulesReleased", {})])
    else:
        position = chance.randint(1, head)
        async for event in store.read(after=position - 1, until=position):
            if event.stream.startswith(("rule/", "rule-state/")) and not event.redacted:
                await store.redact(position, reason="a person")


@pytest.mark.parametrize(
    ("seeds", "acts", "log_url"),
    [
        (range(1), 20, "memory"),
        pytest.param(range(1, 2), 12, "postgresql", marks=pytest.mark.slow),
        pytest.param(range(2, 20), 30, "memory", marks=pytest.mark.soak),
    ],
    indirect=["log_url"],
)
async def test_at_each_moment_copies_say_what_rule_stores_say(
    log_url: str, seeds: range, acts: int, tmp_path: Path
) -> None:
    for seed in seeds:
        chance = random.Random(seed)
        async with EventStore.open(log_url) as store:
            live, replica = tmp_path / f"live{seed}", RuleReplica(tmp_path / f"live{seed}")
            for number in range(acts):
                await some_act(store, chance)
                if chance.random() < 0.3:
                    continue  # The next look has several commits at once.
                await project(store, live)
                rules = await RuleStore(store).load_compiled()
                assert await replica.load_compiled() == rules, (seed, number)
                fresh = tmp_path / f"fresh{seed}-{number}"
                assert await project(store, fresh) == dict(read_tree(live)[1]), (seed, number)
                assert await RuleReplica(fresh).load_compiled() == rules, (seed, number)
                if not await logged(
                    store, "EventRedacted"
                ):  # Else a rebuild may list more changes.
                    both = {(one / REPLICA_NAME).read_bytes() for one in (live, fresh)}
                    assert len(both) == 1, (seed, number)


async def test_a_trim_of_the_held_moment_leaves_the_directory_until_the_release(
    store: EventStore, root: Path, sync: Sync, tmp_path: Path
) -> None:
    fill(root, {"1.yml": ttp("R1"), "2.yml": ttp("R2")})
    await sync()
    good = (await store.head()).position
    (root / "2.yml").unlink()
    fill(root, {"1.yml": ttp("R1", "second")})
    await sync()
    held_at = await hold(store, good)
    live = tmp_path / "live"
    first = await project(store, live)
    fill(root, {"4.yml": ttp("R4")})
    await sync()
    await store.trim(held_at + 1, archive=tmp_path / "old.export")
    assert await project(store, live) == first
    with pytest.raises(HistoryGoneError, match="eventstore release"):
        await project(store, tmp_path / "fresh")
    await release_rules(store, by="ana")
    for copy in (live, tmp_path / "fresh"):
        assert set(await project(store, copy)) == {"1.yml", "4.yml"}


@pytest.mark.slow
@pytest.mark.parametrize("log_url", ["sqlite", "postgresql"], indirect=True)
async def test_a_killed_projection_is_still_held_when_it_goes_on(
    log_url: str, tmp_path: Path
) -> None:
    live, chance = tmp_path / "live", random.Random(9)
    async with EventStore.open(log_url) as store:
        good = await define(store, dict.fromkeys(RULES, "good"))
        expected = await project(store, live)
        await define(store, {"R1": "bad", "R5": "bad"})
        for turn in range(4):
            with child("directory_runner", log_url, live):
                for _ in range(chance.randint(2, 6)):
                    await (release_rules(store, by="ana") if turn % 2 else hold(store, good))
                    await define(store, {chance.choice(RULES): "bad"})
                    await hold(store, good)
                reached = (await store.head()).position - chance.randint(0, 4)
                await eventually(partial(_has_reached, live, reached))  # Then it is killed.
            await define(store, {"R2": "worse"})
            with child("directory_runner", log_url, live):
                head = (await store.head()).position
                await eventually(partial(_has_reached, live, head))
            assert dict(read_tree(live)[1]) == expected
            assert await RuleReplica(live).load_compiled() == await RuleStore(store).load_compiled()
        await release_rules(store, by="ana")
        assert (await project(store, live))["R2.yml"] == b"worse"


async def _has_reached(root: Path, position: int) -> bool:
    return read_tree(root)[0].position >= position


async def define(store: EventStore, rules: dict[str, str]) -> int:
    """Define rules in one commit, each with so long a file; return its position."""
    writes = []
    for rule_id, text in rules.items():
        data = definition_data(rule_id, f"{rule_id}.yml", text.encode())
        writes.append(StreamWrite(f"rule/{rule_id}", [NewEvent("RuleDefined", data)]))
    return (await store.append_many(writes)).position


async def test_a_copy_behind_a_server_is_held(tmp_path: Path) -> None:
    with serving_log("memory://", with_token=False) as served:
        good = served.run(define(served.store, {"R1": "good"}))
        async with keep_rules(served.url, tmp_path / "copy", poll=0.05) as rules:
            first = await rules.load_compiled()
            changes = rules.subscribe_changes()
            served.run(define(served.store, {"R2": "bad"}))
            assert told(await take(changes, 1)) == [("R2", "R2")]
            served.run(hold(served.store, good))
            assert told(await take(changes, 1)) == [("R2", "")]
            assert await rules.load_compiled() == first
        async with EventStore.open(served.url) as store:
            assert set(await project(store, tmp_path / "live")) == {"R1.yml"}


@pytest.fixture
async def store() -> AsyncIterator[EventStore]:
    async with EventStore.open("memory://") as store:
        yield store
