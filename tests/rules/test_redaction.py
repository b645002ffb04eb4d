"""A redacted definition or state is gone from every view, live as in a rebuild."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from sqlalchemy import Table, create_engine, select
from support.master import fill, ttp
from support.waiting import eventually, take

from eventstore import EventStore, NewEvent
from projections import DirectoryProjection, ProjectionRunner
from projections.directory import read_tree
from projections.rules import CompiledRule, RuleState, RuleStore, RuleSync
from projections.rules.standing_rules import StandingRules
from projections.rules.tables import RuleTables, rejection_table, rule_table, state_table
from projections.rules.trim_policy import keep_rules

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def rows(path: Path) -> list[Any]:
    """Return the tables of rules as a reader of the database sees them."""

    def read(table: Table) -> list[Any]:
        return [
            tuple(row) for row in connection.execute(select(table).order_by(*table.primary_key))
        ]

    engine = create_engine(f"sqlite:///{path}")
    with engine.connect() as connection:
        found = [read(table) for table in (rule_table, rejection_table, state_table)]
    engine.dispose()
    return found


def names(rules: list[CompiledRule]) -> dict[str, str]:
    return {rule.rule_id: rule.state.state for rule in rules}


@pytest.mark.promise("redaction")
async def test_a_rule_is_gone_for_engines_and_masters(tmp_path: Path) -> None:
    async with EventStore.open("memory://") as store:
        fill(tmp_path / "rules", {"a.yml": ttp("A"), "b.yml": ttp("B")})
        sync = RuleSync(store, tmp_path / "rules")
        await sync.sync_once()
        rules, known = RuleStore(store), StandingRules("x")
        assert names(await rules.load_compiled()) == {"A": "enabled", "B": "enabled"}
        await known.refresh(store)
        changes = rules.subscribe_changes()
        await store.redact(1, "it names a customer")
        (change,) = await take(changes, 1)
        assert (change.change_kind, change.rule_id) == ("definition", "A")
        assert isinstance(change.new_value, CompiledRule)
        assert change.new_value.removed
        await changes.aclose()
        for reader in (rules, RuleStore(store)):
            assert names(await reader.load_compiled()) == {"B": "enabled"}
        await known.refresh(store)
        assert set(known.rules) == {"B"}
        # The file is still there, so the master defines the rule again: it has to go first.
        assert (await sync.sync_once()).defined == 1
        assert names(await rules.load_compiled()) == {"A": "enabled", "B": "enabled"}


async def test_an_older_definition_may_go_without_anybody_noticing(tmp_path: Path) -> None:
    async with EventStore.open("memory://") as store:
        for version in (1, 2):
            fill(tmp_path / "rules", {"a.yml": ttp("A", f"version {version}")})
            await RuleSync(store, tmp_path / "rules").sync_once()
        rules = RuleStore(store)
        await rules.load_compiled()
        changes = rules.subscribe_changes()
        await store.redact(1, "a request")
        await rules.set_state("A", RuleState("disabled"), "ana")
        assert [change.change_kind for change in await take(changes, 1)] == ["state"]
        await changes.aclose()
        for reader in (rules, RuleStore(store)):
            assert names(await reader.load_compiled()) == {"A": "disabled"}


async def test_a_redacted_state_is_the_default_again() -> None:
    async with EventStore.open("memory://") as store:
        rules = RuleStore(store)
        await rules.set_state("A", RuleState("disabled", reason="a name"), "ana")
        assert (await rules.get_state("A")).state == "disabled"
        await rules.load_compiled()
        changes = rules.subscribe_changes()
        await store.redact(1, "a request")
        assert await take(changes, 1) == [("state", "A", RuleState())]
        await changes.aclose()
        for reader in (rules, RuleStore(store)):
            assert await reader.get_state("A") == RuleState()


async def test_a_redacted_removal_still_removes(tmp_path: Path) -> None:
    async with EventStore.open("memory://") as store:
        fill(tmp_path / "rules", {"a.yml": ttp("A")})
        sync = RuleSync(store, tmp_path / "rules", allow_empty=True)
        await sync.sync_once()
        (tmp_path / "rules" / "a.yml").unlink()
        await sync.sync_once()
        rules = RuleStore(store)
        await rules.load_compiled()
        await store.redact(2, "its path names somebody")
        for reader in (rules, RuleStore(store)):
            assert await reader.load_compiled() == []


@pytest.mark.slow
@pytest.mark.promise("redaction")
@pytest.mark.parametrize(
    "seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.soak) for seed in range(3, 12))]
)
async def test_views_that_follow_equal_views_that_are_rebuilt(tmp_path: Path, seed: int) -> None:
    dice = random.Random(seed)
    root, log = tmp_path / "rules", tmp_path / "log.db"
    root.mkdir()
    async with EventStore.open(f"sqlite:///{log}", inline=[RuleTables()]) as store:
        sync = RuleSync(store, root, allow_empty=True)
        rules = RuleStore(store)
        followed = RuleTables().at(f"sqlite:///{tmp_path}/views.db")
        for _ in range(12):
            await _act(dice, store, sync, root)
            events = [e async for e in store.read() if not e.stream.startswith("log/")]
            if events and dice.random() < 0.6:
                await store.redact(dice.choice(events).position, "a request")
            if dice.random() < 0.5:
                for view in (followed, DirectoryProjection(tmp_path / "live")):
                    await ProjectionRunner(store, view).catch_up()
                await rules.load_compiled()
        fresh = RuleTables().at(f"sqlite:///{tmp_path}/fresh.db")
        for tables in (followed, fresh):
            await ProjectionRunner(store, tables).catch_up()
        for name in ("live", "new"):
            await ProjectionRunner(store, DirectoryProjection(tmp_path / name)).catch_up()
        assert await rules.load_compiled() == await RuleStore(store).load_compiled()
        head_position = (await store.head()).position
    assert rows(log) == rows(tmp_path / "views.db") == rows(tmp_path / "fresh.db")
    live, new = read_tree(tmp_path / "live"), read_tree(tmp_path / "new")
    assert live == new
    assert live[0].position == head_position
    manifests = [(tmp_path / name / ".eventstore.json").read_text() for name in ("live", "new")]
    assert manifests[0] == manifests[1]


async def _act(dice: random.Random, store: EventStore, sync: RuleSync, root: Path) -> None:
    name = dice.choice("abc")
    action = dice.random()
    if action < 0.5:
        fill(root, {f"{dice.choice('xyz')}.yml": ttp(name, f"name {dice.randint(1, 9)}")})
    elif action < 0.6:
        fill(root, {f"{name}.yml": "nonsense: ["})
    elif action < 0.75:
        (root / f"{dice.choice('xyz')}.yml").unlink(missing_ok=True)
    elif action < 0.85:
        state = RuleState(dice.choice(["enabled", "disabled"]))
        await RuleStore(store).set_state(name, state, "ana")
    else:
        await store.append(f"rule/{name}", [NewEvent("RuleDefined", {"path": "../bad", "rule": 1})])
    await sync.sync_once()


async def test_a_running_projection_lets_the_file_go(tmp_path: Path) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        fill(tmp_path / "rules", {"a.yml": ttp("A"), "b.yml": ttp("B")})
        await RuleSync(store, tmp_path / "rules").sync_once()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ProjectionRunner(store, DirectoryProjection(tmp_path / "live")).run)

            async def files(*wanted: str) -> bool:
                live = anyio.Path(tmp_path / "live")
                return {path.name async for path in live.glob("*.yml")} == set(wanted)

            await eventually(lambda: files("a.yml", "b.yml"))
            await store.redact(1, "a request")
            await eventually(lambda: files("b.yml"))
            tasks.cancel_scope.cancel()


async def test_a_useless_definition_counts_as_a_removal_once_it_is_redacted(
    tmp_path: Path,
) -> None:
    log = tmp_path / "log.db"
    async with EventStore.open(f"sqlite:///{log}", inline=[RuleTables()]) as store:
        fill(tmp_path / "rules", {"a.yml": ttp("A")})
        await RuleSync(store, tmp_path / "rules").sync_once()
        await store.append("rule/A", [NewEvent("RuleDefined", {"path": "../bad"})])
        rules, tree = RuleStore(store), DirectoryProjection(tmp_path / "live")
        await ProjectionRunner(store, tree).catch_up()
        assert names(await rules.load_compiled()) == {"A": "enabled"}
        assert (tmp_path / "live" / "a.yml").exists()
        await store.redact(2, "a request")
        for reader in (rules, RuleStore(store)):
            assert await reader.load_compiled() == []
        for root in ("live", "new"):
            await ProjectionRunner(store, DirectoryProjection(tmp_path / root)).catch_up()
            assert not (tmp_path / root / "a.yml").exists()
    assert rows(log) == [[], [], []]


async def test_followers_hear_of_a_rule_that_is_redacted_after_a_trim(tmp_path: Path) -> None:
    async with EventStore.open(f"sqlite:///{tmp_path}/log.db") as store:
        fill(tmp_path / "rules", {"a.yml": ttp("A"), "b.yml": ttp("B")})
        await RuleSync(store, tmp_path / "rules").sync_once()
        await store.append("other/1", [NewEvent("Happened", 1)])
        await store.trim(before=3, archive=tmp_path / "archive", keep=keep_rules)
        rules = RuleStore(store)
        assert names(await rules.load_compiled()) == {"A": "enabled", "B": "enabled"}
        changes = rules.subscribe_changes()
        await store.redact(1, "a request")
        (change,) = await take(changes, 1)
        assert (change.change_kind, change.rule_id) == ("definition", "A")
        await changes.aclose()
        for reader in (rules, RuleStore(store)):
            assert names(await reader.load_compiled()) == {"B": "enabled"}
        assert (await store.verify()).findings == ()
