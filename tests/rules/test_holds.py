"""Held rules: workers stay at those of one moment, states go through, a release catches up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.master import fill, ttp

from eventstore import EventStore
from eventstore.errors import HistoryGoneError
from projections.rules import CompiledRule, RuleChange, RuleState, RuleStore
from projections.rules.holds import NotHeldError, hold_rules, read_hold, release_rules

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from support.master import Sync

    from eventstore import Appended

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]


@pytest.fixture
async def store() -> AsyncIterator[EventStore]:
    async with EventStore.open("memory://") as store:
        yield store


async def loaded(rules: RuleStore) -> dict[str, str]:
    return {rule.rule_id: rule.name for rule in await rules.load_compiled()}


def told(change: RuleChange) -> tuple[str, str | None]:
    value = change.new_value
    if isinstance(value, CompiledRule):
        return change.rule_id, None if value.removed else value.name
    return change.rule_id, value.state


async def take(changes: AsyncIterator[RuleChange], count: int) -> list[tuple[str, str | None]]:
    return sorted([told(await anext(changes)) for _ in range(count)])


async def edited(root: Path, sync: Sync) -> None:
    """Change, remove and add a rule each, in one commit."""
    fill(root, {"1.yml": ttp("R1", "second"), "3.yml": ttp("R3")})
    (root / "2.yml").unlink()
    await sync()


async def begun(root: Path, sync: Sync) -> None:
    fill(root, {"1.yml": ttp("R1"), "2.yml": ttp("R2")})
    await sync()


async def hold(store: EventStore, position: int) -> Appended:
    return await hold_rules(store, position, by="ana", reason="incident")


async def test_a_hold_takes_workers_back_and_a_release_brings_them_up(
    store: EventStore, root: Path, sync: Sync
) -> None:
    await begun(root, sync)
    good = (await store.head()).position
    rules = RuleStore(store)
    assert await loaded(rules) == {"R1": "first", "R2": "first"}
    changes = rules.subscribe_changes()
    await edited(root, sync)
    assert await take(changes, 3) == [("R1", "second"), ("R2", None), ("R3", "first")]
    await hold(store, good)
    assert await take(changes, 3) == [("R1", "first"), ("R2", "first"), ("R3", None)]
    fill(root, {"1.yml": ttp("R1", "third")})
    await sync()
    await rules.set_state("R1", RuleState("disabled"), set_by="ops")
    assert await take(changes, 1) == [("R1", "disabled")]
    for worker in (rules, RuleStore(store)):
        assert await loaded(worker) == {"R1": "first", "R2": "first"}
    (held,) = [rule for rule in await rules.load_compiled() if rule.rule_id == "R1"]
    assert held.state.state == "disabled"
    await release_rules(store, by="ana")
    assert await take(changes, 3) == [("R1", "third"), ("R2", None), ("R3", "first")]
    assert await loaded(rules) == {"R1": "third", "R3": "first"}
    await changes.aclose()


async def test_a_worker_that_was_away_ends_where_the_others_are(
    store: EventStore, root: Path, sync: Sync
) -> None:
    await begun(root, sync)
    good = (await store.head()).position
    away = RuleStore(store, consumer="w")
    known = await loaded(away)
    begun_at = away.subscribe_commits()
    await away.set_state("R1", RuleState("disabled"), set_by="ops")
    assert await anext(begun_at)
    await begun_at.subscription.ack(flush=True)
    await begun_at.aclose()
    await edited(root, sync)
    await hold(store, good)
    fill(root, {"1.yml": ttp("R1", "third")})
    await sync()
    for released in (False, True):
        if released:
            await release_rules(store, by="ana")
        expected = await loaded(RuleStore(store))
        commits = RuleStore(store, consumer="w").subscribe_commits()
        while known != expected:  # A change that never comes ends the test by its time limit.
            for rule_id, name in map(told, await anext(commits)):
                if name is None:
                    known.pop(rule_id, None)
                else:
                    known[rule_id] = name
        await commits.aclose()
    assert known == {"R1": "third", "R3": "first"}


async def test_a_later_hold_replaces_an_earlier_one(
    store: EventStore, root: Path, sync: Sync
) -> None:
    await begun(root, sync)
    first = (await store.head()).position
    await edited(root, sync)
    second = (await store.head()).position
    await hold(store, first)
    rules = RuleStore(store)
    assert await loaded(rules) == {"R1": "first", "R2": "first"}
    changes = rules.subscribe_changes()
    await hold(store, second)
    assert await take(changes, 3) == [("R1", "second"), ("R2", None), ("R3", "first")]
    await changes.aclose()
    found = await read_hold(store)
    assert found is not None
    assert (found.position, found.by, found.reason) == (second, "ana", "incident")
    await release_rules(store, by="ana")
    assert await read_hold(store) is None
    with pytest.raises(NotHeldError):
        await release_rules(store, by="ana")


async def test_a_trim_keeps_the_hold_and_says_where_its_rules_are_gone(
    store: EventStore, root: Path, sync: Sync, tmp_path: Path
) -> None:
    await begun(root, sync)
    good = (await store.head()).position
    await edited(root, sync)
    done = await hold(store, good)
    fill(root, {"4.yml": ttp("R4")})
    await sync()
    await store.trim(done.position + 1, archive=tmp_path / "old.export")
    found = await read_hold(store)
    assert found is not None
    assert found.position == good
    with pytest.raises(HistoryGoneError, match="eventstore release"):
        await RuleStore(store).load_compiled()
    await release_rules(store, by="ana")
    assert await loaded(RuleStore(store)) == {"R1": "second", "R3": "first", "R4": "first"}
