"""Every rule store, however it was come by, behaves the same."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.processes import run
from support.rule_stores import DESKS, Desk
from support.signatures import same_signatures
from support.their_rules import TheirRule, TheirState
from support.waiting import take

from eventstore import InvalidInputError
from projections.rules import (
    CompiledRule,
    RuleChange,
    RuleReplica,
    RuleState,
    RuleStore,
    RuleStoreProtocol,
    RuleTypes,
    SharedRuleStore,
)
from projections.rules.loaded_report import decode_report

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.promise("replica")]


@pytest.fixture(params=sorted(DESKS))
async def desk(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Desk]:
    """Give each rule store in turn, with an empty directory of rules."""
    (tmp_path / "rules").mkdir()
    async with DESKS[request.param](tmp_path, monkeypatch) as desk:
        yield desk


def names(changes: list[RuleChange]) -> list[str]:
    """Return the name of each changed definition, the state of each changed state."""
    return [
        value.name if isinstance(value, CompiledRule) else value.state for _, _, value in changes
    ]


async def nothing_waits(changes: AsyncIterator[RuleChange]) -> bool:
    with anyio.move_on_after(0.05):
        await anext(changes)
        return False
    return True


def test_all_kinds_have_the_same_methods() -> None:
    def public(kind: type) -> set[str]:
        return {name for name in vars(kind) if not name.startswith("_")}

    assert public(RuleStore) == public(SharedRuleStore)
    # It has no events to make changes of.
    assert public(RuleStore) - public(RuleReplica) == {"change_of"}
    assert len(public(RuleStore)) >= 5


@pytest.mark.parametrize("kind", [RuleStore, SharedRuleStore, RuleReplica])
def test_all_kinds_have_the_signatures_of_the_protocol(kind: type) -> None:
    same_signatures(RuleStoreProtocol, kind, methods=4)


async def test_a_state_of_the_callers_own_class_is_in_force_or_refused(desk: Desk) -> None:
    assert isinstance(desk.rules, RuleStoreProtocol)
    naive = datetime.now(UTC).replace(tzinfo=None, microsecond=0) + timedelta(hours=1)
    theirs = TheirState("clipped", 0.5, naive, "noisy")
    await desk.set_state("A", theirs, set_by="ana")
    read = await desk.rules.get_state("A")
    assert type(read) is RuleState
    assert (read.state, read.confidence_max, read.reason) == ("clipped", 0.5, "noisy")
    assert read.expires_at == naive.replace(tzinfo=UTC)
    for wrong in (TheirState("bogus"), TheirState(confidence_max=True), TheirState(reason=5)):  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError):
            await desk.set_state("A", wrong, set_by="ana")
    assert await desk.rules.get_state("A") == read
    assert await desk.rules.get_state(5) == RuleState()  # type: ignore[arg-type]


@pytest.mark.parametrize("desk", ["sqlite", "get-filesystem", "replica"], indirect=True)
async def test_everything_handed_out_is_of_the_callers_classes(desk: Desk) -> None:
    types = RuleTypes(compiled=TheirRule, state=TheirState)
    rules = desk.rules
    await desk.edit("A")
    typed: Any
    if isinstance(rules, RuleStore):
        typed = RuleStore(desk.log, types=types)
    else:
        typed = rules._with_types(types)  # What get_rule_store(types=…) returns.
    (loaded,) = await typed.load_compiled()
    assert (type(loaded), loaded.state) == (TheirRule, TheirState())
    changes, commits = typed.subscribe_changes(), typed.subscribe_commits()
    await desk.set_state("A", RuleState("disabled"), set_by="ana")
    await desk.edit("A", "second")
    await desk.remove("A")
    items = await take(changes, 3)
    assert [type(value) for _, _, value in items] == [TheirState, TheirRule, TheirRule]
    assert [items[0].new_value.state, items[1].new_value.state.state] == ["disabled"] * 2
    gone = items[2].new_value
    assert (gone.rule_id, gone.applies_to, gone.emits) == ("A", frozenset(), ())
    assert [[type(one.new_value) for one in found] for found in await take(commits, 3)] == [
        [TheirState], [TheirRule], [TheirRule]
    ]  # fmt: skip
    assert type(await typed.get_state("A")) is type(await typed.get_state("B")) is TheirState


async def test_a_worker_tells_what_it_has_loaded(desk: Desk) -> None:
    for rule_id in "ABC":
        await desk.edit(rule_id)
    loaded = {rule.rule_id: rule for rule in await desk.rules.load_compiled()}
    changes = desk.rules.subscribe_changes()
    report = await desk.rules.report_loaded(loaded.values(), engine="mine", version="2", worker="w")
    assert (report.rules, report.differs, report.engine, report.version) == (3, (), "mine", "2")
    await desk.set_state("A", RuleState("clipped", 0.3), set_by="ana")
    await desk.edit("B", "second")
    stale = await desk.rules.report_loaded(loaded.values(), worker="w")
    assert stale.differs == (("A", "state"), ("B", "content"))
    for _, rule_id, value in await take(changes, 2):
        new = value if isinstance(value, CompiledRule) else loaded[rule_id]._replace(state=value)
        loaded[rule_id] = new
    del loaded["C"]
    report = await desk.rules.report_loaded(loaded.values(), rejected={"C": "why"}, worker="w")
    assert report.differs == (("C", "missing"),)
    assert report.rejected == (("C", "why"),)
    assert len({report.hash, stale.hash}) == 2
    (kept,) = [one for one in await desk.log.reports() if one.name == "w"]
    assert decode_report(kept.report) == report


async def test_loading_stamps_the_current_state_on_each_rule(desk: Desk) -> None:
    await desk.edit("A")
    await desk.edit("B")
    await desk.set_state("B", RuleState("clipped", 0.3, reason="noisy"), set_by="ana")
    first, second = await desk.rules.load_compiled()
    assert (first.rule_id, first.state) == ("A", RuleState())
    assert first.applies_to == {"process"}
    assert first.match_spec == {"image": "cmd.exe"}
    assert first.emits == (("T1059", None, "execution", 0.5),)
    assert second.state == await desk.rules.get_state("B")
    assert (second.state.state, second.state.confidence_max) == ("clipped", 0.3)
    assert (second.state.reason, second.state.set_by) == ("noisy", "ana")
    assert second.state.set_at is not None


async def test_an_empty_directory_is_no_rules(desk: Desk) -> None:
    assert await desk.rules.load_compiled() == []


async def test_an_unknown_rule_has_the_default_state(desk: Desk) -> None:
    assert await desk.rules.get_state("never seen") == RuleState()
    assert await desk.rules.get_state("") == RuleState()


async def test_a_state_may_be_set_before_its_rule_exists(desk: Desk) -> None:
    await desk.set_state("A", RuleState("disabled"), set_by="ana")
    await desk.edit("A")
    assert [rule.state.state for rule in await desk.rules.load_compiled()] == ["disabled"]


async def test_a_state_of_what_cannot_be_a_rule_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidInputError):
        await desk.set_state("", RuleState("disabled"), set_by="ana")


async def test_a_state_that_has_expired_reads_as_the_default(desk: Desk) -> None:
    past = datetime.now(UTC) - timedelta(seconds=1)
    await desk.set_state("A", RuleState("disabled", expires_at=past), set_by="ana")
    assert await desk.rules.get_state("A") == RuleState()


@pytest.mark.promise("rules")
async def test_what_changes_between_loading_and_subscribing_is_seen(desk: Desk) -> None:
    await desk.edit("A")
    await desk.rules.load_compiled()
    await desk.edit("A", "between")
    await desk.set_state("A", RuleState("disabled"), set_by="ana")
    changes = desk.rules.subscribe_changes()
    assert names(await take(changes, 2)) == ["between", "disabled"]
    assert await nothing_waits(changes)


async def test_five_edits_are_five_items(desk: Desk) -> None:
    await desk.rules.load_compiled()
    changes = desk.rules.subscribe_changes()
    for number in range(5):
        await desk.edit("A", f"edit{number}")
    assert names(await take(changes, 5)) == [f"edit{number}" for number in range(5)]
    assert await nothing_waits(changes)


async def test_the_same_state_twice_is_two_items(desk: Desk) -> None:
    await desk.rules.load_compiled()
    changes = desk.rules.subscribe_changes()
    for _ in range(2):
        await desk.set_state("A", RuleState("disabled"), set_by="ana")
    assert names(await take(changes, 2)) == ["disabled"] * 2
    assert await nothing_waits(changes)


@pytest.mark.promise("rules")
async def test_a_removal_carries_the_real_id_and_nothing_to_apply(desk: Desk) -> None:
    await desk.edit("A")
    await desk.edit("B")
    await desk.rules.load_compiled()
    changes = desk.rules.subscribe_changes()
    await desk.remove("A")
    ((kind, rule_id, rule),) = await take(changes, 1)
    assert isinstance(rule, CompiledRule)
    assert (kind, rule_id, rule.rule_id) == ("definition", "A", "A")
    assert (rule.applies_to, rule.emits) == (frozenset(), ())


async def test_a_state_set_in_another_process_is_seen(desk: Desk) -> None:
    if desk.url == "memory://":
        pytest.skip("a log in memory belongs to one process")
    await desk.rules.load_compiled()
    changes = desk.rules.subscribe_changes()
    await anyio.to_thread.run_sync(run, "rule_state_setter", desk.url)
    assert names(await take(changes, 1)) == ["disabled"]
    assert (await desk.rules.get_state("A")).set_by == "another"


async def test_nine_followers_each_get_everything(desk: Desk) -> None:
    for number in range(9):
        await desk.rules.load_compiled()
        await desk.edit("A", f"edit{number}")
    followers = [desk.rules.subscribe_changes() for _ in range(9)]
    for number, changes in enumerate(followers):
        expected = [f"edit{n}" for n in range(number, 9)]
        assert names(await take(changes, len(expected))) == expected


async def test_a_follower_that_raises_harms_nobody_and_goes_on(desk: Desk) -> None:
    await desk.rules.load_compiled()
    clumsy, careful = desk.rules.subscribe_changes(), desk.rules.subscribe_changes()
    for state in (RuleState("disabled"), RuleState("clipped"), RuleState("enabled")):
        await desk.set_state("A", state, set_by="ana")

    async def stumble() -> None:
        async for _ in clumsy:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await stumble()
    assert names(await take(careful, 3)) == ["disabled", "clipped", "enabled"]
    assert names(await take(clumsy, 2)) == ["clipped", "enabled"]


@pytest.mark.promise("rules")
async def test_a_follower_that_is_cancelled_loses_nothing(desk: Desk) -> None:
    await desk.rules.load_compiled()
    changes = desk.rules.subscribe_changes()
    seen: list[RuleChange] = []
    for _ in range(20):
        assert await nothing_waits_at_once(changes, seen)
        await desk.set_state("A", RuleState("disabled"), set_by="ana")
    seen += await take(changes, 20 - len(seen))
    assert names(seen) == ["disabled"] * 20
    assert await nothing_waits(changes)


async def nothing_waits_at_once(changes: AsyncIterator[RuleChange], seen: list[RuleChange]) -> bool:
    with anyio.move_on_after(0.001):
        seen.append(await anext(changes))
    return True


@pytest.mark.promise("rules")
async def test_a_state_expires_as_an_event_though_nobody_reads_it(desk: Desk) -> None:
    await desk.edit("A")
    await desk.rules.load_compiled()
    changes = desk.rules.subscribe_changes()
    soon = datetime.now(UTC) + timedelta(seconds=0.2)
    await desk.set_state("A", RuleState("disabled", expires_at=soon), set_by="ana")
    items = await take(changes, 2)
    assert [(kind, rule_id) for kind, rule_id, _ in items] == [("state", "A")] * 2
    assert items[1].new_value == RuleState()
    assert datetime.now(UTC) >= soon
    assert [rule.state for rule in await desk.rules.load_compiled()] == [RuleState()]


async def test_a_commit_comes_whole(desk: Desk) -> None:
    await desk.rules.load_compiled()
    commits = desk.rules.subscribe_commits()
    await desk.edit("A")
    await desk.set_state("A", RuleState("disabled"), set_by="ana")
    first, second = await take(commits, 2)
    assert (names(first), names(second)) == (["first"], ["disabled"])


async def test_returned_values_are_the_callers_own(desk: Desk) -> None:
    await desk.edit("A")
    await desk.rules.load_compiled()
    one, other = desk.rules.subscribe_changes(), desk.rules.subscribe_changes()
    await desk.edit("A", "second")
    (loaded,) = await desk.rules.load_compiled()
    ((_, _, changed),) = await take(one, 1)
    for rule in (loaded, changed):
        assert isinstance(rule, CompiledRule)
        rule.match_spec["image"] = "spoiled"
    ((_, _, fresh),) = await take(other, 1)
    assert isinstance(fresh, CompiledRule)
    for rule in (fresh, *await desk.rules.load_compiled()):
        assert rule.match_spec == {"image": "cmd.exe"}


async def test_closing_ends_the_iteration(desk: Desk) -> None:
    changes: Any = desk.rules.subscribe_changes()
    await changes.aclose()
    with pytest.raises(StopAsyncIteration):
        await anext(changes)
