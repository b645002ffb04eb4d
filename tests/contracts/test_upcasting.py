"""Upcasters: older events are read as if they had been written today."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from support.logs import data, positions
from support.orders import content, first, order_upcasters, second, third
from support.waiting import collect, take

from eventstore import Cursor, DuplicateEventError, EventStore, NewEvent, StreamWrite, Upcasters

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from eventstore import Event

pytestmark = pytest.mark.anyio

WRITTEN = [first(1), second(2, "SEK"), NewEvent("Paid", b"\x00"), third(3, "USD"), first(4)]

LIFTED: list[tuple[str, Any, dict[str, Any]]] = [
    ("Placed", {"amount": 1, "currency": "EUR"}, {"schema": 2}),
    ("Placed", {"amount": 2, "currency": "SEK"}, {"by": "ana", "schema": 2}),
    ("Paid", b"\x00", {}),
    ("Placed", {"amount": 3, "currency": "USD"}, {"schema": 2}),
    ("Placed", {"amount": 4, "currency": "EUR"}, {"schema": 2}),
]

PLACED = [1, 2, 4, 5]


@pytest.fixture
async def store(url: str) -> AsyncIterator[EventStore]:
    """Give a store with upcasters, on a log with orders of every age."""
    async with EventStore.open(url, upcasters=order_upcasters()) as store:
        await store.append("order/1", WRITTEN[:3])
        await store.append("order/1", WRITTEN[3:])
        yield store


@pytest.mark.promise("old-events")
async def test_every_way_to_read_gives_lifted_events(store: EventStore) -> None:
    reads = [
        await collect(store.read()),
        (await collect(store.read(backwards=True)))[::-1],
        await collect(store.read_stream("order/1")),
        await take(store.subscribe_changes(), 5),
        await take(store.subscribe_changes(consumer="w"), 5),
        [e for _, es in await take(store.subscribe_changes().commits(), 2) for e in es],
    ]
    for events in reads:
        assert [content(event) for event in events] == LIFTED


@pytest.mark.promise("old-events")
async def test_where_an_event_stands_stays_as_it_is_stored(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as plain:
        await plain.append_many([StreamWrite("a/1", WRITTEN), StreamWrite("b/1", [first(9)])])
        stored = await collect(plain.read())
        async with EventStore.open(lasting_url, upcasters=order_upcasters()) as store:
            lifted = await collect(store.read())
            commits = await take(store.subscribe_changes(after=stored[0].position).commits(), 1)
    assert [place(event) for event in lifted] == [place(event) for event in stored]
    assert [event.type for event in stored] == [
        "Placed.v1", "Placed", "Paid", "Placed", "Placed.v1", "Placed.v1",
    ]  # fmt: skip
    assert commits[0][0] == Cursor(commits[0][0].log_id, 6, stored[-1].hash)


def place(event: Event) -> tuple[object, ...]:
    return (
        event.position, event.stream, event.version, event.id, event.commit, event.recorded_at,
        event.hash,
    )  # fmt: skip


UNKNOWN = [
    NewEvent("Shipped", {"total": 1}),
    NewEvent("Placed", {"amount": 1}, metadata={"schema": 3}),
    NewEvent("Placed", {"amount": 1}, metadata={"schema": "https://example.org/placed"}),
    NewEvent("Placed", {"amount": 1}, metadata={"schema": True}),
    NewEvent("Placed", {"amount": 1}, metadata={"schema": 1.0}),
    NewEvent("Placed", {"amount": 1}, metadata={"schema": 0}),
    NewEvent("placed.v1", {}),
]


@pytest.mark.promise("old-events")
async def test_unknown_types_and_shapes_pass_through_untouched(url: str) -> None:
    async with EventStore.open(url, upcasters=order_upcasters()) as store:
        await store.append("order/1", UNKNOWN)
        events = await collect(store.read())
    assert [(e.type, e.raw_data, e.raw_metadata) for e in events] == [
        (new.type, new.raw_data, new.raw_metadata) for new in UNKNOWN
    ]


async def test_a_filter_means_types_as_they_are_read(store: EventStore) -> None:
    for types, expected in [
        ({"Placed"}, PLACED),
        ({"Placed.v1"}, []),
        ({"Placed.v1", "Paid"}, [3]),
        ({"Placed", "Paid"}, [1, 2, 3, 4, 5]),
        (set(), []),
    ]:
        assert positions(await collect(store.read(types=types))) == expected
        backwards = await collect(store.read(types=types, backwards=True))
        assert positions(backwards) == expected[::-1]
        follower = store.subscribe_changes(types=types, follow=False)
        assert positions(await collect(follower)) == expected
    assert positions(await collect(store.read(types={"Placed"}, limit=3))) == PLACED[:3]
    limited = store.read(types={"Placed"}, limit=3, backwards=True)
    assert positions(await collect(limited)) == PLACED[:0:-1]


def by_schema() -> Upcasters:
    """Return upcasters that make two types of one, by the number of its shape."""
    upcasters = Upcasters()
    upcasters.register("Changed", to="Opened")(lambda data, _: data)
    upcasters.register("Changed", schema=2, to="Closed")(lambda data, _: data)
    return upcasters


async def test_a_type_that_was_split_is_filtered_after_lifting(url: str) -> None:
    async with EventStore.open(url, upcasters=by_schema()) as store:
        ends = [
            (await store.append("a/1", [NewEvent("Changed", n), closed(n)])).cursor
            for n in range(3)
        ]
        opened = await collect(store.read(types={"Opened"}, limit=2))
        assert [(event.type, event.position) for event in opened] == [("Opened", 1), ("Opened", 3)]
        # The event at the end of each commit does not match; its cursor is there all the same.
        items = await take(store.subscribe_changes(types={"Opened"}).commits(), 3)
        assert [cursor for cursor, _ in items] == ends
        assert [positions(events) for _, events in items] == [[1], [3], [5]]
        backwards = await collect(store.read(types={"Closed"}, backwards=True, limit=2))
        assert positions(backwards) == [6, 4]


def closed(number: int) -> NewEvent:
    return NewEvent("Changed", number, metadata={"schema": 2})


async def test_appending_again_is_judged_by_what_is_stored(store: EventStore) -> None:
    again = await store.append("order/1", WRITTEN[:3])
    assert (again.duplicate, again.position) == (True, 3)
    type_, value, metadata = LIFTED[0]
    lifted = NewEvent(type_, value, id=WRITTEN[0].id, metadata=metadata)
    with pytest.raises(DuplicateEventError):
        await store.append("order/1", [lifted])
    assert (await store.head()).position == 5


async def test_functions_get_copies_and_are_free_to_change_them(store: EventStore) -> None:
    assert [content(event) for event in await collect(store.read())] == LIFTED
    assert [content(event) for event in await collect(store.read())] == LIFTED


class Amounts:
    """An inline view: what each order came to."""

    name = "amounts"

    def __init__(self) -> None:
        self.seen: list[tuple[int, str, Any]] = []

    def setup(self, connection: Any) -> None:
        """Create the table of the cursor."""
        connection.execute(text("CREATE TABLE IF NOT EXISTS amounts_to (cursor TEXT)"))

    def cursor(self, connection: Any) -> Cursor | None:
        """Return how far it has come."""
        stored = connection.execute(text("SELECT max(cursor) FROM amounts_to")).scalar()
        return Cursor.parse(stored) if stored else None

    def apply(self, connection: Any, events: Sequence[Event], cursor: Cursor) -> None:
        """Note type and data."""
        self.seen += [(event.position, event.type, event.data) for event in events]
        connection.execute(text("DELETE FROM amounts_to"))
        connection.execute(text("INSERT INTO amounts_to VALUES (:c)"), {"c": str(cursor)})


SEEN = [(number, type_, value) for number, (type_, value, _) in enumerate(LIFTED, 1)]


async def test_an_inline_projection_is_given_lifted_events(url: str) -> None:
    view = Amounts()
    async with EventStore.open(url, inline=[view], upcasters=order_upcasters()) as store:
        await store.append("order/1", WRITTEN[:2])
        await store.append("order/1", WRITTEN[2:])
    assert view.seen == SEEN


async def test_a_new_inline_projection_catches_up_on_lifted_events(lasting_url: str) -> None:
    view = Amounts()
    async with EventStore.open(lasting_url) as stranger:
        await stranger.append("order/1", WRITTEN[:2])
        upcasters = order_upcasters()
        async with EventStore.open(lasting_url, inline=[view], upcasters=upcasters) as store:
            assert view.seen == SEEN[:2]
            await stranger.append("order/1", WRITTEN[2:4])
            await store.append("order/1", WRITTEN[4:])
    assert view.seen == SEEN


async def test_a_store_without_upcasters_shows_what_is_stored(lasting_url: str) -> None:
    async with EventStore.open(lasting_url, upcasters=order_upcasters()) as store:
        await store.append("order/1", WRITTEN)
    async with EventStore.open(lasting_url) as store:
        events = await collect(store.read())
    assert data(events) == [new.data for new in WRITTEN]
    assert [event.raw_metadata for event in events] == [new.raw_metadata for new in WRITTEN]
