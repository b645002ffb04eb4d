"""Code as a user would write it: it is never run, but must pass the strictest type check.

``mypy`` checks it with the rest of the tests. What a user has to write a cast or an ignore
for is a defect of the public types.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Column, Connection, Integer, MetaData, String, Table, insert

from eventstore import (
    END,
    STREAM_EXISTS,
    Appended,
    Cursor,
    Event,
    EventStore,
    NewEvent,
    Upcasters,
)
from projections import DirectoryProjection, ProjectionRunner, TableProjection
from projections.memories import (
    Domain,
    Memory,
    MemoryChange,
    MemoryStore,
    Namespace,
    Status,
    get_memory_store,
)
from projections.rules import CompiledRule, RuleChange, RuleState, RuleStore, RuleSync, SyncReport

tables = MetaData()
seen = Table("seen", tables, Column("position", Integer, primary_key=True), Column("type", String))


class Seen(TableProjection):
    """A view of one's own."""

    name = "seen"
    metadata = tables

    def handle(self, connection: Connection, event: Event) -> None:
        connection.execute(insert(seen).values(position=event.position, type=event.type))


upcasters = Upcasters()


@upcasters.register("Ordered", to="Placed")
def split_lines(data: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    return {"lines": [{"sku": data["sku"], "n": 1}]}


@upcasters.register("Placed", schema=1)
def note_who(data: Any, metadata: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    return data, metadata | {"by": split_lines(data, {})["by"]}


async def use_the_log(url: str) -> tuple[Appended, Cursor | None]:
    async with EventStore.open(url, inline=[Seen()], poll=0.5, upcasters=upcasters) as store:
        done: Appended = await store.append(
            "order/1", [NewEvent("Placed", {"lines": [{"sku": "a", "n": 2}]})], expected=0
        )
        await store.append("order/1", [NewEvent("Scan", b"\x00")], expected=STREAM_EXISTS)
        positions: list[int] = [event.position async for event in store.read(after=done.cursor)]
        subscription = store.subscribe_changes(after=END, types={"Placed"}, consumer="w")
        async for cursor, events in subscription.commits():
            print(cursor.position, [event.data for event in events], positions)
            await subscription.ack(flush=True)
        return done, subscription.cursor


async def use_the_rules(store: EventStore) -> AsyncIterator[RuleChange]:
    report: SyncReport = await RuleSync(store, "rules", format="sigma").sync_once()
    rules = RuleStore(store, consumer="engine")
    loaded: list[CompiledRule] = await rules.load_compiled()
    until = datetime(2030, 1, 1, tzinfo=UTC)
    await rules.set_state("R1", RuleState("clipped", 0.5, until), set_by=str(report.defined))
    async for change in rules.subscribe_changes():
        kind, rule_id, value = change
        if isinstance(value, CompiledRule) and rule_id not in {rule.rule_id for rule in loaded}:
            print(kind, value.match_spec.get("all"))
        yield change


async def use_the_views(store: EventStore) -> int:
    await ProjectionRunner(store, Seen(on_error="set_aside").at("sqlite:///views.db")).rebuild()
    cursor = await ProjectionRunner(store, DirectoryProjection("live")).catch_up(until=10)
    return cursor.position


def use_the_memories(memories: MemoryStore) -> list[str]:
    memories.store(Memory("m-1", "x", Namespace.HELP, Domain(project="p"), tags=["a"]))
    found: Memory | None = memories.get("m-1")
    batch: list[Memory] = memories.get_batch(memories.list_ids())
    if found is not None and memories.delete(found.id):
        print([change.by for change in memories.history("m-1")], memories.count())
    return [memory.content for memory in batch if memory.status is Status.ACTIVE]


async def follow_the_memories() -> AsyncIterator[MemoryChange]:
    async for change in get_memory_store().subscribe_changes(after=0):
        yield change
