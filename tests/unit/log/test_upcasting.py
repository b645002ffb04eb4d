"""Upcasters over random chains, redacted and damaged events, views and large logs."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Any, Final

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Integer, String, insert
from support.audit import audit
from support.event_tables import event_table
from support.examples import examples
from support.logs import positions
from support.orders import content, first, order_upcasters, second, third
from support.waiting import collect

from eventstore import CorruptEventError, Event, EventStore, NewEvent, UpcastError, Upcasters
from eventstore.store._reader import PAGE_EVENTS
from projections import ProjectionRunner, TableProjection

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

TYPES: Final = ("A", "B", "C", "D")
Shape = tuple[str, int]
shapes = st.tuples(st.sampled_from(TYPES), st.integers(1, 3))
Steps = dict[Shape, tuple[Shape, int]]


@st.composite
def chains(draw: st.DrawFn) -> Steps:
    """Return steps from shape to shape without a circle: each leads up in some random order."""
    order = draw(st.permutations([(type_, schema) for type_ in TYPES for schema in (1, 2, 3)]))
    steps: Steps = {}
    for index, source in enumerate(order[:-1]):
        if draw(st.booleans()):
            steps[source] = (draw(st.sampled_from(order[index + 1 :])), len(steps))
    return steps


def registered(steps: Steps, order: list[Shape]) -> Upcasters:
    """Register each step; a function notes its number, and moves a key into the metadata."""
    upcasters = Upcasters()
    for source in order:
        target, number = steps[source]

        def lift(data: Any, metadata: dict[str, Any], number: int = number) -> Any:
            if number % 2:
                return {**data, "steps": [*data["steps"], number]}
            data["steps"].append(number)
            return data, {**metadata, "last": number}

        upcasters.register(source[0], schema=source[1], to=target[0], to_schema=target[1])(lift)
    return upcasters


def by_hand(steps: Steps, type_: str, schema: int | None) -> tuple[str, Any, dict[str, Any]]:
    """Return what an event becomes, worked out from the steps alone."""
    shape = (type_, schema or 1)
    taken = []
    while shape in steps:
        shape, number = steps[shape]
        taken.append(number)
    metadata: dict[str, Any] = {"by": "ana"}
    if taken or schema is not None:
        metadata["schema"] = shape[1]
    if taken and shape[1] == 1:
        del metadata["schema"]
    even = [number for number in taken if number % 2 == 0]
    if even:
        metadata["last"] = even[-1]
    return shape[0], {"steps": taken}, metadata


@pytest.mark.promise("old-events")
@settings(max_examples=examples(60), deadline=None, database=None)
@given(
    chains(),
    st.lists(st.tuples(st.sampled_from(TYPES), st.none() | st.integers(1, 4)), min_size=1),
    st.randoms(use_true_random=False),
    st.sets(st.sampled_from(TYPES)),
)
def test_chains_on_read_equal_the_functions_applied_by_hand(
    steps: Steps, written: list[tuple[str, int | None]], dice: Any, types: set[str]
) -> None:
    order = list(steps)
    dice.shuffle(order)

    async def run() -> None:
        async with EventStore.open("memory://", upcasters=registered(steps, order)) as store:
            for type_, schema in written:
                metadata: dict[str, Any] = {"by": "ana"}
                if schema is not None:
                    metadata["schema"] = schema
                await store.append("a/1", [NewEvent(type_, {"steps": []}, metadata=metadata)])
            expected = [by_hand(steps, type_, schema) for type_, schema in written]
            assert [content(event) for event in await collect(store.read())] == expected
            found = await collect(store.read(types=types))
            assert [content(event) for event in found] == [e for e in expected if e[0] in types]
            backwards = await collect(store.read(types=types, backwards=True))
            assert backwards == found[::-1]
            # What was lifted is as if written today, so lifting it again changes nothing.
            again = registered(steps, order[::-1])
            assert [again.lift(event) for event in found] == found

    anyio.run(run)


def sql(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute(statement)
    connection.close()


async def test_a_redacted_event_is_renamed_and_no_function_sees_it(path: Path, url: str) -> None:
    async with EventStore.open(url) as plain:
        await plain.append("a/1", [first(1), second(2, "SEK"), first(3)])
    sql(path, "UPDATE event SET data = NULL, metadata = NULL, salt = NULL WHERE position < 3")
    async with EventStore.open(url, upcasters=order_upcasters()) as store:
        for events in (await collect(store.read()), await collect(store.read(types={"Placed"}))):
            assert [(event.type, event.redacted) for event in events] == [
                ("Placed", True), ("Placed", True), ("Placed", False),
            ]  # fmt: skip
            assert [event.data for event in events[:2]] == [None, None]
    assert audit(path) == 3


@pytest.mark.parametrize("column", ["data", "metadata"])
async def test_stored_text_that_is_no_json_says_which_event(
    path: Path, url: str, column: str
) -> None:
    async with EventStore.open(url) as plain:
        await plain.append("a/1", [first(1), first(2), first(3)])
    sql(path, "DROP TRIGGER event_immutable")
    sql(path, f"UPDATE event SET {column} = CAST('{{' AS BLOB) WHERE position = 2")
    async with EventStore.open(url, upcasters=order_upcasters()) as store:
        with pytest.raises(CorruptEventError) as caught:
            await collect(store.read())
        assert caught.value.position == 2
        assert positions(await collect(store.read(after=2))) == [3]


async def test_metadata_that_is_no_object_names_no_shape(path: Path, url: str) -> None:
    async with EventStore.open(url) as plain:
        await plain.append("a/1", [first(1)])
    sql(path, "DROP TRIGGER event_immutable")
    sql(path, "UPDATE event SET metadata = CAST('[1]' AS BLOB)")
    async with EventStore.open(url, upcasters=order_upcasters()) as store:
        assert [event.type for event in await collect(store.read())] == ["Placed.v1"]


orders = event_table("orders", amount=Integer, currency=String)


class Orders(TableProjection):
    """Knows today's orders only."""

    name = "orders"
    metadata = orders.metadata

    def handle(self, connection: Connection, event: Event) -> None:
        """Note an order."""
        if event.type == "Placed":
            connection.execute(insert(orders).values(position=event.position, **event.data))


def noted(path: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(path)
    found = connection.execute("SELECT * FROM orders ORDER BY position").fetchall()
    connection.close()
    return found


async def test_a_view_that_is_followed_and_one_that_is_rebuilt_see_lifted_events(
    url: str, tmp_path: Path
) -> None:
    views = tmp_path / "views.db"
    async with EventStore.open(url, upcasters=order_upcasters()) as store:
        await store.append("a/1", [first(1), second(2, "SEK"), third(3, "USD")])
        runner = ProjectionRunner(store, Orders().at(f"sqlite:///{views}"))
        expected = [(1, 1, "EUR"), (2, 2, "SEK"), (3, 3, "USD")]
        await runner.catch_up()
        assert noted(views) == expected
        await runner.rebuild()
        assert noted(views) == expected


async def test_a_runner_applies_what_comes_before_an_event_that_cannot_be_lifted(
    url: str, tmp_path: Path
) -> None:
    views = tmp_path / "views.db"
    async with EventStore.open(url, upcasters=order_upcasters()) as store:
        await store.append("a/1", [first(1), first(2)])
        await store.append("a/1", [first(3), NewEvent("Placed.v1", {"sum": 4})])
        runner = ProjectionRunner(store, Orders().at(f"sqlite:///{views}"))
        for _ in range(2):
            with pytest.raises(UpcastError) as caught:
                await runner.catch_up()
            assert caught.value.position == 4
            assert noted(views) == [(1, 1, "EUR"), (2, 2, "EUR")]


async def test_a_filter_over_many_pages_of_other_shapes_ends(url: str) -> None:
    upcasters = Upcasters()
    upcasters.register("Old", schema=2, to="New")(lambda data, _: data)
    upcasters.register("Old", schema=1, to="Gone")(lambda data, _: data)
    count = 2 * PAGE_EVENTS + 5
    async with EventStore.open(url, upcasters=upcasters) as store:
        await store.append("a/1", [NewEvent("Old", number) for number in range(count)])
        await store.append("a/1", [NewEvent("Old", "x", metadata={"schema": 2})])
        for backwards in (False, True):
            reader = store.read(types={"New"}, backwards=backwards)
            assert positions(await collect(reader)) == [count + 1]
        changes = store.subscribe_changes(types={"New"}, follow=False)
        assert positions(await collect(changes)) == [count + 1]
        nothing = store.subscribe_changes(types={"Old"}, follow=False)
        assert await collect(nothing) == []
        assert nothing.position == count + 1
