"""Rules as of a position, by the index of versions: the same as by a fold of all events."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from support.master import ttp

from eventstore import EventStore, NewEvent, StreamWrite
from eventstore.storage import last_events
from projections.rules.differences import compare_rules
from projections.rules.fold import Defined
from projections.rules.formats import get_format
from projections.rules.model import RuleState, encode_rule, encode_state
from projections.rules.rules_at import fold_rules, read_changes, read_rules_at

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

RULES = ("R1", "R2", "R3")


def defined(rule_id: str, name: str) -> NewEvent:
    text = ttp(rule_id, name)
    rule = get_format("ttp").read(f"{rule_id}.yml", text.encode()).compiled
    data: dict[str, Any] = {"rule_id": rule_id, "path": f"{rule_id}.yml", "content": text}
    return NewEvent("RuleDefined", data | {"rule": encode_rule(rule)})


def some_event(chance: random.Random, rule_id: str) -> StreamWrite:
    state = RuleState(chance.choice(("enabled", "disabled")), reason=str(chance.random()))
    kind = chance.choice(("defined", "defined", "removed", "broken", "state", "broken state"))
    event = {
        "defined": defined(rule_id, f"n{chance.random()}"),
        "removed": NewEvent("RuleRemoved", {}),
        "broken": NewEvent("RuleDefined", {"path": 7}),
        "state": NewEvent("RuleStateSet", {"state": encode_state(state)}),
        "broken state": NewEvent("RuleStateSet", {"state": {"state": "odd"}}),
    }[kind]
    stream = f"rule-state/{rule_id}" if "state" in kind else f"rule/{rule_id}"
    return StreamWrite(stream, [event])


async def fill(store: EventStore, chance: random.Random, commits: int) -> None:
    for _ in range(commits):
        rules = chance.sample(RULES, chance.randint(1, 3))
        await store.append_many([some_event(chance, rule_id) for rule_id in rules])
        await store.append(f"order/{chance.randrange(3)}", [NewEvent("Placed", {})])


async def test_every_position_gives_what_a_fold_of_all_events_gives(
    store: EventStore, tmp_path: Path
) -> None:
    chance = random.Random(20)
    await fill(store, chance, 25)
    assert (await read_rules_at(store, 12)).definitions()
    redacted = [e.position async for e in store.read(streams="rule/", types={"RuleDefined"})]
    for position in chance.sample(redacted, 3):
        await store.redact(position, reason="it named a person")
    for trims in (False, True):
        if trims:
            await store.trim(30, archive=tmp_path / "old.export", force=True)
        head = await store.head()
        for position in range(head.first_position - 1, head.position + 1):
            found, folded = await read_rules_at(store, position), await fold_rules(store, position)
            assert found.versions == folded.versions, position


async def test_what_stood_is_given_as_engines_take_it(store: EventStore) -> None:
    await store.append("rule/R1", [defined("R1", "first")])
    done = await store.append("rule-state/R1", [NewEvent("RuleStateSet", {"state": encode_state(
        RuleState("disabled", reason="noisy"))})])  # fmt: skip
    await store.append("rule/R1", [defined("R1", "second")])
    await store.append("rule/R1", [NewEvent("RuleRemoved", {})])
    then = await read_rules_at(store, done.position)
    (rule,) = then.compiled()
    assert (rule.name, rule.state.reason) == ("first", "noisy")
    assert isinstance(then.definitions()["R1"], Defined)
    assert then.contents() == {(None, "R1.yml"): ttp("R1", "first").encode()}
    assert [one.name for one in (await read_rules_at(store, done.position + 1)).compiled()] == [
        "second"
    ]
    assert (await read_rules_at(store, done.position + 2)).compiled() == []


@pytest.mark.parametrize(("most", "few"), [(0, 0), (0, 256), (65_536, 256)])
async def test_what_differs_is_the_same_however_it_is_searched_for(
    store: EventStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, few: int
) -> None:
    monkeypatch.setattr(last_events, "MOST", most)
    monkeypatch.setattr(last_events, "FEW", few)
    chance = random.Random(most + few)
    await fill(store, chance, 12)
    await store.trim(11, archive=tmp_path / "old.export", force=True)
    head = await store.head()
    for _ in range(8):
        one, other = sorted(chance.choices(range(head.first_position - 1, head.position + 1), k=2))
        whole = await fold_rules(store, one), await fold_rules(store, other)
        found = await read_changes(store, one, other)
        assert compare_rules(*found) == compare_rules(*whole), (one, other)
        assert (await read_rules_at(store, one)).versions == whole[0].versions, one


async def test_a_rule_that_has_its_content_from_an_unchanged_one_is_compared_whole(
    store: EventStore,
) -> None:
    carrier = await store.append("rule/R1", [defined("R1", "first")])
    event = defined("R2", "second").data
    shared = {key: event[key] for key in event if key != "content"}
    shared |= {"path": "R1.yml", "content_in": "rule/R1", "rules": 2}
    done = await store.append("rule/R2", [NewEvent("RuleDefined", shared)])
    (added,) = compare_rules(*await read_changes(store, carrier.position, done.position))
    assert (added.kind, added.rule_id) == ("added", "R2")
    assert added.content_after == ttp("R1", "first").encode()
