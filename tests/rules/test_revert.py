"""Rules, registrations and memories as they were: one commit of ordinary events."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.master import fill, ttp

from eventstore import EventStore, NewEvent
from eventstore.errors import ConflictError
from eventstore.moments.errors import UnknownMomentError
from projections.registry import Registry
from projections.rules import RuleState, RuleStore
from projections.rules.differences import compare_rules
from projections.rules.revert import SourceFollowedError, plan_revert
from projections.rules.rules_at import read_rules_at
from projections.rules.sources.lease import SourceLock
from projections.rules.sources.put_back import put_back
from projections.rules.sources.renaming import rename_source
from projections.rules.sources.source_error import SourceError
from projections.seams.reverting import RevertError
from projections.undo import plan_undo

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.master import Sync

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

TWO = f"{ttp('R1')}---\n{ttp('R2')}"


@pytest.fixture
async def store() -> AsyncIterator[EventStore]:
    async with EventStore.open("memory://") as store:
        yield store


@pytest.fixture
async def before(store: EventStore, root: Path, sync: Sync) -> int:
    """Sync three rules, and edit, move, remove and add since; return the position before that."""
    fill(root, {f"{number}.yml": ttp(f"R{number}") for number in (1, 2, 3)})
    await sync(by="ana")
    position = (await store.head()).position
    fill(root, {"1.yml": ttp("R1", "second"), "4.yml": ttp("R4")})
    (root / "2.yml").rename(root / "moved.yml")
    (root / "3.yml").unlink()
    await sync()
    await RuleStore(store).set_state("R1", RuleState("disabled"), set_by="ops")
    return position


async def names(store: EventStore) -> dict[str, tuple[str, str]]:
    return {rule.rule_id: (rule.name, rule.state.state)
            for rule in await RuleStore(store).load_compiled()}  # fmt: skip


async def test_a_source_is_restored_by_one_commit_and_the_log_only_grows(
    store: EventStore, before: int
) -> None:
    events = [event async for event in store.read()]
    differences = await RuleStore(store).revert("test", before, by="ana", reason="it fired")
    assert [(one.kind, one.rule_id) for one in differences] == [
        ("added", "R3"), ("removed", "R4"), ("changed", "R1"), ("moved", "R2"),
    ]  # fmt: skip
    after = [event async for event in store.read()]
    assert after[: len(events)] == events
    assert {event.commit for event in after[len(events) :]} == {len(after)}
    assert all(
        event.metadata == {"by": "ana", "reason": "it fired", "reverted_to": before}
        for event in after[len(events) :]
    )
    then, now = await read_rules_at(store, before), await read_rules_at(store, len(after))
    assert [one.kind for one in compare_rules(then, now)] == ["state"]
    assert await names(store) == {
        "R1": ("first", "disabled"), "R2": ("first", "enabled"), "R3": ("first", "enabled"),
    }  # fmt: skip
    assert await RuleStore(store).revert("test", before, by="ana") == []
    assert (await store.head()).position == len(after)


async def test_one_rule_or_the_stream_of_a_state_leaves_the_rest(
    store: EventStore, before: int
) -> None:
    await RuleStore(store).revert("R1", before, by="ana")
    assert await names(store) == {
        "R1": ("first", "disabled"), "R2": ("first", "enabled"), "R4": ("first", "enabled"),
    }  # fmt: skip
    await RuleStore(store).revert("rule-state/R1", before, by="ana")
    assert (await names(store))["R1"] == ("first", "enabled")
    with pytest.raises(RevertError, match="neither a rule nor a source"):
        await RuleStore(store).revert("none", before, by="ana")
    with pytest.raises(UnknownMomentError):
        await RuleStore(store).revert("R1", "tag:none", by="ana")


async def test_a_master_that_follows_the_source_stops_a_revert(
    store: EventStore, before: int
) -> None:
    head = await store.head()
    lock = SourceLock(store, "test")
    assert lock.try_acquire()
    with pytest.raises(SourceFollowedError, match="followed by"):
        await RuleStore(store).revert("R1", before, by="ana")
    assert await store.head() == head
    lock.release()
    assert await RuleStore(store).revert("R1", before, by="ana")


async def test_what_changes_meanwhile_is_a_conflict(store: EventStore, before: int) -> None:
    plan = await plan_revert(store, "R1", before, by="ana")
    await store.append("rule/R1", [NewEvent("RuleRemoved", {})])
    with pytest.raises(ConflictError):
        await store.append_many(plan.writes)


async def test_a_renamed_source_is_reverted_by_its_present_name(
    store: EventStore, before: int
) -> None:
    await rename_source(store, "test", "new")
    await RuleStore(store).revert("new", before, by="ana")
    now = await read_rules_at(store, (await store.head()).position)
    assert {rule.source for rule in now.definitions().values()} == {"new"}
    assert {*await names(store)} == {"R1", "R2", "R3"}


async def test_a_path_that_another_rule_has_now_is_not_taken(
    store: EventStore, root: Path, sync: Sync
) -> None:
    fill(root, {"a.yml": ttp("R1")})
    await sync()
    (root / "a.yml").rename(root / "b.yml")
    await sync()
    fill(root, {"a.yml": ttp("R2")})
    await sync()
    with pytest.raises(RevertError, match="is now the file of rule 'R2'"):
        await RuleStore(store).revert("R1", 1, by="ana")
    await RuleStore(store).revert("test", 1, by="ana")
    now = await read_rules_at(store, (await store.head()).position)
    assert {rule_id: rule.path for rule_id, rule in now.definitions().items()} == {"R1": "a.yml"}


async def test_files_are_put_back_and_nothing_outside_of_them(
    store: EventStore, before: int, root: Path, sync: Sync, tmp_path: Path
) -> None:
    plan = await plan_revert(store, "test", before, by="ana")
    await store.append_many(plan.writes)
    assert put_back(root, plan.files["test"]) == 5
    assert {path.name for path in root.iterdir()} == {"1.yml", "2.yml", "3.yml"}
    assert (await sync()).position is None
    (root / "out").symlink_to(tmp_path)
    for path in ("../x.yml", "/x.yml", "out/x.yml", "a/../../x.yml", "."):
        with pytest.raises(SourceError, match="leads out"):
            put_back(root, {path: b"harm"})
    assert not (tmp_path / "x.yml").exists()


async def test_undo_restores_what_stood_before_one_commit(store: EventStore, before: int) -> None:
    edited = before + 1  # Within the commit of the edits.
    plan = await plan_undo(store, edited, by="ana")
    await store.append_many(plan.writes)
    assert {*await names(store)} == {"R1", "R2", "R3"}
    with pytest.raises(RevertError, match="has changed since, at position"):
        await plan_undo(store, edited, by="ana")
    state = [event.position async for event in store.read(streams="rule-state/")]
    await store.append_many((await plan_undo(store, state[0], by="ana")).writes)
    assert (await names(store))["R1"] == ("first", "enabled")
    done = await store.append("order/1", [NewEvent("Placed", {})])
    with pytest.raises(RevertError, match="order/1"):
        await plan_undo(store, done.position, by="ana")


async def test_a_registration_is_restored(tmp_path: Path) -> None:
    registry = Registry(f"sqlite:///{tmp_path}/log.db")
    await registry.initialize()
    await registry.register("b/1", {"n": 1}, metadata={"team": "a"})
    await registry.register("b/1", {"n": 2}, "inactive")
    await registry.unregister("b/1")
    for to, config in ((1, {"n": 1}), (2, {"n": 2}), (3, None), (1, {"n": 1})):
        assert await registry.revert("b/1", to, reason="why")
        assert await registry.peek_config("b/1") == config
        assert not await registry.revert("b/1", to)
    assert (await registry.history("b/1"))[-1].metadata == {"team": "a"}
    await registry.close()
