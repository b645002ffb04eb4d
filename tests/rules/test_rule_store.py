"""The rules seam as an engine uses it: load, follow, set states."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.master import fill, ttp
from support.waiting import take

from eventstore import EventStore, EventStoreError, InvalidInputError, NewEvent, StorageError
from eventstore.log.clock import from_microseconds
from projections.rules import CompiledRule, RuleChange, RuleState, RuleStore, RuleSync
from projections.rules.model import encode_rule, removed_rule
from projections.rules.store import PINNED_LOADS

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.log.operations import Head
    from eventstore.testing import FakeClock

pytestmark = pytest.mark.anyio


class Master:
    """Edits rules and syncs them at once."""

    def __init__(self, store: EventStore, root: Path) -> None:
        self._store, self._root = store, root

    async def edit(self, rule_id: str, name: str = "first") -> None:
        fill(self._root, {f"{rule_id}.yml": ttp(rule_id, name)})
        await self.sync()

    async def remove(self, rule_id: str) -> None:
        (self._root / f"{rule_id}.yml").unlink()
        await self.sync()

    async def sync(self) -> None:
        await RuleSync(self._store, self._root, source="test").sync_once()


@pytest.fixture
def master(store: EventStore, root: Path) -> Master:
    return Master(store, root)


@pytest.fixture
def rules(store: EventStore) -> RuleStore:
    return RuleStore(store)


def names(changes: list[RuleChange]) -> list[str]:
    """Return the name of each changed definition, the state of each changed state."""
    return [
        value.name if isinstance(value, CompiledRule) else value.state for _, _, value in changes
    ]


def following(rules: RuleStore) -> AsyncIterator[RuleChange]:
    """Follow; the call itself must not be a coroutine."""
    changes = rules.subscribe_changes()
    assert isinstance(changes, AsyncIterator)
    return changes


async def nothing_waits(changes: AsyncIterator[RuleChange]) -> bool:
    with anyio.move_on_after(0.05):
        await anext(changes)
        return False
    return True


async def test_loading_gives_every_rule_with_its_state(master: Master, rules: RuleStore) -> None:
    await master.edit("A")
    await master.edit("B")
    await rules.set_state("B", RuleState("disabled"), set_by="ana")
    loaded = {rule.rule_id: rule for rule in await rules.load_compiled()}
    assert list(loaded) == ["A", "B"]
    assert loaded["A"].state == RuleState()
    assert loaded["B"].state.state == "disabled"
    assert loaded["A"].emits == (("T1059", None, "execution", 0.5),)


async def test_loading_twice_sees_what_changed_in_between(master: Master, rules: RuleStore) -> None:
    await master.edit("A")
    await master.edit("B")
    await rules.load_compiled()
    await master.edit("A", "second")
    await master.remove("B")
    assert [(rule.rule_id, rule.name) for rule in await rules.load_compiled()] == [("A", "second")]


async def test_an_unknown_rule_has_the_default_state(rules: RuleStore) -> None:
    assert await rules.get_state("never seen") == RuleState()
    assert await rules.get_state("") == RuleState()


async def test_a_state_is_stamped_with_who_and_when(rules: RuleStore, clock: FakeClock) -> None:
    await rules.set_state("A", RuleState("clipped", 0.3, reason="noisy"), set_by="ana")
    now = from_microseconds(clock.now_us)
    expected = RuleState("clipped", 0.3, reason="noisy", set_by="ana", set_at=now)
    assert await rules.get_state("A") == expected


async def test_a_state_may_be_set_before_its_rule_exists(master: Master, rules: RuleStore) -> None:
    await rules.set_state("A", RuleState("disabled"), set_by="ana")
    await master.edit("A")
    assert [rule.state.state for rule in await rules.load_compiled()] == ["disabled"]


async def test_a_state_outlives_its_rules_edits(master: Master, rules: RuleStore) -> None:
    await master.edit("A")
    await rules.set_state("A", RuleState("disabled"), set_by="ana")
    changes = following(rules)
    await master.edit("A", "second")
    ((_, _, rule),) = await take(changes, 1)
    assert isinstance(rule, CompiledRule)
    assert (rule.name, rule.state.state) == ("second", "disabled")


async def test_an_expired_state_reads_as_the_default(
    master: Master, rules: RuleStore, clock: FakeClock
) -> None:
    await master.edit("A")
    until = from_microseconds(clock.now_us) + timedelta(seconds=10)
    await rules.set_state("A", RuleState("disabled", expires_at=until), set_by="ana")
    clock.now_us += 10_000_000 - 1
    assert (await rules.get_state("A")).state == "disabled"
    clock.now_us += 1
    assert await rules.get_state("A") == RuleState()
    assert [rule.state for rule in await rules.load_compiled()] == [RuleState()]


@pytest.mark.parametrize("rule_id", ["", "a/", "a\0b", "a\nb", "\ud800", "x" * 2000])
async def test_a_state_of_what_cannot_be_a_rule_is_refused(rules: RuleStore, rule_id: str) -> None:
    with pytest.raises(InvalidInputError):
        await rules.set_state(rule_id, RuleState("disabled"), set_by="ana")
    assert await rules.get_state(rule_id) == RuleState()


@pytest.mark.promise("subscription")
async def test_a_change_between_loading_and_subscribing_is_seen(
    master: Master, rules: RuleStore
) -> None:
    await master.edit("A")
    await rules.load_compiled()
    await master.edit("A", "between")
    await rules.set_state("A", RuleState("disabled"), set_by="ana")
    assert names(await take(following(rules), 2)) == ["between", "disabled"]


async def test_five_edits_are_five_items(master: Master, rules: RuleStore) -> None:
    await rules.load_compiled()
    changes = following(rules)
    for number in range(5):
        await master.edit("A", f"edit{number}")
    assert names(await take(changes, 5)) == [f"edit{number}" for number in range(5)]
    assert await nothing_waits(changes)


async def test_the_same_state_twice_is_two_items(rules: RuleStore) -> None:
    changes = following(rules)
    for _ in range(2):
        await rules.set_state("A", RuleState("disabled"), set_by="ana")
    items = await take(changes, 2)
    assert [(kind, rule_id) for kind, rule_id, _ in items] == [("state", "A")] * 2
    assert await nothing_waits(changes)


async def test_a_removal_carries_the_real_id_and_nothing_to_apply(
    master: Master, rules: RuleStore
) -> None:
    await master.edit("A")
    await rules.load_compiled()
    changes = following(rules)
    await master.remove("A")
    ((kind, rule_id, rule),) = await take(changes, 1)
    assert isinstance(rule, CompiledRule)
    assert (kind, rule_id, rule.rule_id) == ("definition", "A", "A")
    assert (rule.applies_to, rule.emits, rule.removed) == (frozenset(), (), True)


async def test_subscribing_without_loading_misses_nothing_after_the_call(
    master: Master, rules: RuleStore
) -> None:
    await master.edit("A", "before")
    changes = following(rules)
    await master.edit("A", "after")
    assert names(await take(changes, 1)) == ["after"]


async def test_nine_components_share_one_store(master: Master, rules: RuleStore) -> None:
    for number in range(9):
        await rules.load_compiled()
        await master.edit("A", f"edit{number}")
    followers = [following(rules) for _ in range(9)]
    for number, changes in enumerate(followers):
        expected = [f"edit{n}" for n in range(number, 9)]
        assert names(await take(changes, len(expected))) == expected


async def test_a_store_may_be_loaded_more_often_than_loads_are_remembered(
    master: Master, rules: RuleStore
) -> None:
    loads = PINNED_LOADS + 5
    for number in range(loads):
        await rules.load_compiled()
        await master.edit("A", f"edit{number}")
    followers = [following(rules) for _ in range(loads)]
    for number, changes in enumerate(followers):
        first = int(names(await take(changes, 1))[0].removeprefix("edit"))
        assert first <= number, "it may repeat what the load saw, and must not miss what it did not"


async def test_changing_a_returned_value_changes_nothing_in_the_store(
    master: Master, rules: RuleStore
) -> None:
    await master.edit("A")
    changes = following(rules)
    await master.edit("A", "second")
    (loaded,) = await rules.load_compiled()
    ((_, _, changed),) = await take(changes, 1)
    assert isinstance(changed, CompiledRule)
    for rule in (loaded, changed):
        rule.match_spec["image"] = "spoiled"
    assert [rule.match_spec for rule in await rules.load_compiled()] == [{"image": "cmd.exe"}]


STRANGERS: list[tuple[str, NewEvent]] = [
    ("rule/A", NewEvent("RuleDefined", 7)),
    ("rule/A", NewEvent("RuleDefined", {"rule": {"rule_id": 1}})),
    ("rule/A", NewEvent("RuleDefined", b"\xff")),
    ("rule/A", NewEvent("RuleStateSet", {"state": {"state": "disabled"}})),
    ("rule/A", NewEvent("RuleStateSet", {"rule": encode_rule(removed_rule("A"))})),
    ("rule-state/A", NewEvent("RuleStateSet", {"state": {"state": "on fire"}})),
    ("rule-state/A", NewEvent("RuleStateSet", None)),
    ("rule-state/A", NewEvent("RuleRemoved", {})),
    ("elsewhere/A", NewEvent("RuleRemoved", {})),
    ("elsewhere/A", NewEvent("RuleStateSet", {"state": {"state": "disabled"}})),
]


@pytest.mark.parametrize(("stream", "event"), STRANGERS)
async def test_what_a_stranger_wrote_is_passed_over_live_and_when_loading(
    store: EventStore, master: Master, rules: RuleStore, stream: str, event: NewEvent
) -> None:
    await master.edit("A")
    await rules.set_state("A", RuleState("clipped", 0.1), set_by="ana")
    changes = following(rules)
    await store.append(stream, [event])
    await rules.set_state("B", RuleState(), set_by="ana")
    assert (await take(changes, 1))[0].rule_id == "B"
    for fresh in (rules, RuleStore(store)):
        assert [(r.rule_id, r.state.state) for r in await fresh.load_compiled()] == [
            ("A", "clipped")
        ]


async def test_a_consumer_goes_on_where_it_was(store: EventStore, master: Master) -> None:
    worker = RuleStore(store, consumer="worker")
    await worker.load_compiled()
    async with worker.subscribe_changes().subscription as _:
        pass
    first = RuleStore(store, consumer="worker").subscribe_changes()
    for number in range(3):
        await master.edit("A", f"edit{number}")
    assert names(await take(first, 2)) == ["edit0", "edit1"]
    await first.aclose()
    again = RuleStore(store, consumer="worker").subscribe_changes()
    assert names(await take(again, 2)) == ["edit1", "edit2"]
    assert [consumer.name for consumer in await store.consumers()] == ["worker"]


async def test_a_worker_s_rejection_is_shown_with_its_reason() -> None:
    async with EventStore.open("memory://") as store:
        await RuleStore(store).set_state("A", RuleState("disabled"), "ana")
        changes = RuleStore(store, consumer="engine").subscribe_changes()
        with pytest.raises(InvalidInputError, match="no change"):
            await changes.reject("too early")
        await RuleStore(store).set_state("B", RuleState("disabled"), "ana")
        await anext(changes)
        await changes.reject("no such rule here")
        await changes.aclose()
        (shown,) = (await store.status())["consumers"]
        assert shown["rejections"] == 1
        assert shown["last_rejection"]["reason"] == "no such rule here"


async def test_commits_come_whole(store: EventStore, root: Path, rules: RuleStore) -> None:
    commits = rules.subscribe_commits()
    fill(root, {f"r{n}.yml": ttp(f"R{n}") for n in range(5)})
    await RuleSync(store, root).sync_once()
    await rules.set_state("R0", RuleState("disabled"), set_by="ana")
    first, second = await take(commits, 2)
    assert [change.rule_id for change in first] == [f"R{n}" for n in range(5)]
    assert [change.change_kind for change in second] == ["state"]


async def test_closing_ends_the_iteration(rules: RuleStore) -> None:
    changes: Any = rules.subscribe_changes()
    await changes.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(changes)


async def test_a_follower_that_gives_up_waiting_loses_nothing(
    store: EventStore, master: Master, rules: RuleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes, commits = rules.subscribe_changes(), rules.subscribe_commits()
    await master.edit("A", "edit0")
    head = store.head

    async def never() -> Head:
        await anyio.sleep_forever()
        return await head()

    monkeypatch.setattr(store, "head", never)
    for iterator in (changes, commits):
        with anyio.move_on_after(0.2):
            await anext(iterator)
    monkeypatch.setattr(store, "head", head)
    assert names(await take(changes, 1)) == ["edit0"]
    assert names((await take(commits, 1))[0]) == ["edit0"]


async def test_a_failing_log_loses_nothing_either(
    store: EventStore, master: Master, rules: RuleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = rules.subscribe_changes()
    await master.edit("A", "edit0")

    async def broken() -> Head:
        raise StorageError("disk", "full")

    with monkeypatch.context() as patch:
        patch.setattr(store, "head", broken)
        with pytest.raises(EventStoreError):
            await anext(changes)
    assert names(await take(changes, 1)) == ["edit0"]
