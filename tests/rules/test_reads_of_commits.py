"""How often a worker reads the log for a commit: as often for many definitions as for one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from eventstore import EventStore, NewEvent, StreamWrite
from projections.rules import CompiledRule, RuleChange, RuleState, RuleStore
from projections.rules.events import RULE_DEFINED, RULE_STATE_SET, RULES, STATES
from projections.rules.model import encode_rule, encode_state, removed_rule

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

pytestmark = pytest.mark.anyio

MANY: Final = 1_000
MOST_READS: Final = 5
DISABLED: Final = RuleState("disabled")


def definition(rule_id: str) -> StreamWrite:
    rule = encode_rule(removed_rule(rule_id)._replace(applies_to=frozenset({"process"})))
    data: dict[str, Any] = {
        "rule_id": rule_id,
        "path": f"{rule_id}.yml",
        "content": "x",
        "rule": rule,
    }
    return StreamWrite(RULES + rule_id, [NewEvent(RULE_DEFINED, data)])


def state(rule_id: str, value: RuleState = DISABLED) -> StreamWrite:
    data: dict[str, Any] = {"rule_id": rule_id, "state": encode_state(value)}
    return StreamWrite(STATES + rule_id, [NewEvent(RULE_STATE_SET, data)])


def rule_id(number: int) -> str:
    return f"R{number:04d}"


class Worker:
    """A rule store in a process of its own, as far as its reads are concerned: they are counted."""

    def __init__(self, store: EventStore) -> None:
        self.store = store
        self.store = store
        self.rules = RuleStore(store)
        self.reads = 0
        backend: Any = store._backend
        self._snapshot: Callable[[], Any] = backend._snapshot
        backend._snapshot = self._counting

    def _counting(self) -> Any:
        self.reads += 1
        return self._snapshot()


@pytest.fixture
async def stores(tmp_path: Path) -> AsyncIterator[tuple[EventStore, Worker]]:
    """Give an open log, and a worker on it that reads at no time by itself."""
    url = f"sqlite:///{tmp_path / 'log.db'}"
    async with (
        EventStore.open(url) as store,
        EventStore.open(url, notify="none", poll=0.01) as other,
    ):
        yield store, Worker(other)


async def reads_of(worker: Worker, commits: Any, store: EventStore, count: int) -> tuple[int, Any]:
    """Append a commit of so many definitions; return how many reads it took, and the changes."""
    await store.append_many([definition(rule_id(n)) for n in range(count)])
    worker.reads = 0
    changes = await anext(commits)
    return worker.reads, changes


def disabled(changes: list[RuleChange]) -> list[str]:
    """Return the ids of the rules whose definition came with a state of disabled."""
    return [
        rule.rule_id
        for _, _, rule in changes
        if isinstance(rule, CompiledRule) and rule.state == DISABLED
    ]


@pytest.mark.parametrize("loaded", [True, False])
async def test_a_commit_of_many_definitions_takes_a_few_reads(
    stores: tuple[EventStore, Worker], *, loaded: bool
) -> None:
    store, worker = stores
    await store.append_many([state(rule_id(7))])
    if loaded:
        await worker.rules.load_compiled()
    commits = worker.rules.subscribe_commits()
    if not loaded:
        assert [change.change_kind for change in await anext(commits)] == ["state"]
    for count in (1, 10, MANY):
        reads, changes = await reads_of(worker, commits, store, count)
        assert len(changes) == count
        assert reads <= MOST_READS, f"{reads} reads for {count} definitions"
    assert disabled(changes) == [rule_id(7)]


async def test_single_changes_of_a_commit_take_as_many(stores: tuple[EventStore, Worker]) -> None:
    store, worker = stores
    await worker.rules.load_compiled()
    changes = worker.rules.subscribe_changes()
    await store.append_many([definition(rule_id(n)) for n in range(MANY)])
    worker.reads = 0
    seen = [await anext(changes) for _ in range(MANY)]
    assert [change.rule_id for change in seen] == [rule_id(n) for n in range(MANY)]
    assert worker.reads <= MOST_READS, worker.reads


async def test_a_definition_carries_the_state_wherever_it_was_read(
    stores: tuple[EventStore, Worker],
) -> None:
    store, worker = stores
    await worker.rules.load_compiled()
    commits = worker.rules.subscribe_commits()
    await store.append_many([definition("A"), definition("B"), state("B")])
    assert disabled(await anext(commits)) == ["B"], "held by the subscription, in the same commit"
    await store.append_many([state("A")])
    await anext(commits)
    await store.append_many([definition("A")])
    assert disabled(await anext(commits)) == ["A"], "held by the subscription, a commit before"
    await store.append_many([definition("A"), definition("C")])
    await store.append_many([state("C"), state("A", RuleState())])
    assert disabled(await anext(commits)) == ["C"], "appended since, and read from the log"
    await anext(commits)
    await store.append_many([state("D"), state("E")])
    assert (await worker.rules.get_state("D")) == DISABLED
    await store.append_many([definition("D"), definition("E"), state("E", RuleState())])
    await anext(commits)
    assert disabled(await anext(commits)) == ["D"], "the index was ahead of the subscription"


async def test_a_consumer_that_begins_past_the_load_has_each_state(
    stores: tuple[EventStore, Worker],
) -> None:
    store, worker = stores
    await store.append_many([definition("A")])
    async with store.subscribe_changes(consumer="engine", after=0) as consumer:
        rules = RuleStore(worker.store, consumer="engine")
        await rules.load_compiled()
        await store.append_many([state("A")])
        for _ in range(2):
            await anext(consumer)
        await consumer.ack(flush=True)
    commits = rules.subscribe_commits()
    await store.append_many([definition("A")])
    assert disabled(await anext(commits)) == ["A"]
