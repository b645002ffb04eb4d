"""Upcasters that fail: a typed error that says which and where, and nothing skipped or lost."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from support.logs import ids, positions
from support.orders import order_upcasters
from support.waiting import collect, take

from eventstore import (
    ConfigError,
    Event,
    EventStore,
    InvalidInputError,
    NewEvent,
    StreamWrite,
    UpcastError,
    Upcasters,
)
from eventstore.log.operations import Query

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Callable

pytestmark = pytest.mark.anyio


def careful(data: Any, metadata: dict[str, Any]) -> Any:
    """Lift ``Old``; fail on the data that tests call bad."""
    if data == "bad":
        raise LookupError("no such customer")
    return data


def failing() -> Upcasters:
    """Return upcasters that fail on some events."""
    upcasters = Upcasters()
    upcasters.register("Old", to="New")(careful)
    return upcasters


def returning(value: Any) -> Upcasters:
    """Return upcasters of which the second step returns this."""
    upcasters = Upcasters()
    upcasters.register("Older", to="Old")(lambda data, _: data)

    @upcasters.register("Old", to="New")
    def broken(data: Any, metadata: dict[str, Any]) -> Any:
        return value

    return upcasters


async def until_failure(events: AsyncIterable[Event]) -> tuple[list[int], UpcastError]:
    """Return the positions that were given out before the error, and the error."""
    found: list[int] = []
    try:
        async for event in events:
            found.append(event.position)  # noqa: PERF401 - what came before the error counts
    except UpcastError as error:
        return found, error
    pytest.fail(f"nothing failed after {found}")


async def test_the_error_says_which_function_position_and_type(url: str) -> None:
    async with EventStore.open(url, upcasters=failing()) as store:
        await store.append("a/1", [NewEvent("Old", "good"), NewEvent("Old", "bad")])
        found, error = await until_failure(store.read())
    assert found == [1]
    assert (error.position, error.type) == (2, "Old")
    assert error.function.endswith("test_upcasting_errors.careful")
    assert isinstance(error.__cause__, LookupError)
    for told in ("careful", "position 2", "'Old'", "no such customer"):
        assert told in str(error)


UNFIT: list[Any] = [
    math.nan, {1: "x"}, {"at": datetime(2026, 1, 1, tzinfo=UTC)}, [(1, 2)], object(), "\ud800",
    None, (), ("data", {}, 3), ("data", None), ("data", []), ("data", {"x": math.inf}),
    ("data", "text"), (math.nan, {}),
]  # fmt: skip


@pytest.mark.parametrize("value", UNFIT, ids=ids(UNFIT))
async def test_what_no_event_can_hold_is_an_error(url: str, value: Any) -> None:
    async with EventStore.open(url, upcasters=returning(value)) as store:
        await store.append("a/1", [NewEvent("Older", 1)])
        found, error = await until_failure(store.read())
    assert (found, error.position, error.type) == ([], 1, "Old")
    assert "broken" in error.function


FIT: list[tuple[Any, Any, dict[str, Any]]] = [
    (b"\xff", b"\xff", {}),
    (bytearray(b"x"), b"x", {}),
    ((None, {}), None, {}),
    ((1, {"a": 1, "schema": 9}), 1, {"a": 1}),
    ([], [], {}),
    (0, 0, {}),
]


@pytest.mark.parametrize(("value", "data", "metadata"), FIT, ids=[repr(row[0]) for row in FIT])
async def test_what_an_event_can_hold_is_read(
    url: str, value: Any, data: Any, metadata: dict[str, Any]
) -> None:
    async with EventStore.open(url, upcasters=returning(value)) as store:
        await store.append("a/1", [NewEvent("Older", 1)])
        events = await collect(store.read())
    assert [(e.type, e.data, e.metadata) for e in events] == [("New", data, metadata)]


@pytest.fixture
def log_with_a_bad_event() -> Callable[[EventStore], Any]:
    """Fill a log: commits of three over two streams; position 8 cannot be lifted."""

    async def fill(store: EventStore) -> None:
        for commit in range(4):
            middle = "bad" if commit == 2 else "good"
            await store.append_many(
                [
                    StreamWrite("a/1", [NewEvent("Old", 0), NewEvent("Old", middle)]),
                    StreamWrite("b/1", [NewEvent("Other", 0)]),
                ]
            )

    return fill


@pytest.mark.promise("old-events")
async def test_readers_get_what_comes_before_it_and_never_what_comes_after(
    url: str, log_with_a_bad_event: Callable[[EventStore], Any]
) -> None:
    async with EventStore.open(url, upcasters=failing()) as store:
        await log_with_a_bad_event(store)
        assert (await until_failure(store.read()))[0] == [1, 2, 3, 4, 5, 6, 7]
        assert (await until_failure(store.read(backwards=True)))[0] == [12, 11, 10, 9]
        assert (await until_failure(store.read_stream("a/1")))[0] == [1, 2, 4, 5, 7]
        assert (await until_failure(store.read(types={"New"})))[0] == [1, 2, 4, 5, 7]
        assert positions(await collect(store.read(types={"Other"}))) == [3, 6, 9, 12]
        assert positions(await collect(store.read(limit=7))) == [1, 2, 3, 4, 5, 6, 7]


async def test_a_follower_stays_before_it_however_often_it_asks(
    url: str, log_with_a_bad_event: Callable[[EventStore], Any]
) -> None:
    async with EventStore.open(url, upcasters=failing()) as store:
        await log_with_a_bad_event(store)
        changes = store.subscribe_changes()
        assert (await until_failure(changes))[0] == [1, 2, 3, 4, 5, 6, 7]
        assert (await until_failure(changes))[0] == []
        assert changes.position == 7
        assert not changes.caught_up


async def test_whole_commits_end_before_its_commit(
    url: str, log_with_a_bad_event: Callable[[EventStore], Any]
) -> None:
    for streams, expected in ((None, [[1, 2, 3], [4, 5, 6]]), ("a/", [[1, 2], [4, 5]])):
        async with EventStore.open(url, upcasters=failing()) as store:
            if (await store.head()).position == 0:
                await log_with_a_bad_event(store)
            changes = store.subscribe_changes(streams=streams)
            commits = changes.commits()
            items = await take(commits, 2)
            assert [positions(events) for _, events in items] == expected
            assert [cursor.position for cursor, _ in items] == [3, 6]
            with pytest.raises(UpcastError):
                await anext(commits)
            assert changes.position == 6
            # Where it stands is a place in this log, from which others go on.
            with pytest.raises(UpcastError):
                await take(store.subscribe_changes(after=changes.cursor or 0).commits(), 1)


async def test_a_page_of_whole_commits_ends_at_the_end_of_one(
    url: str, log_with_a_bad_event: Callable[[EventStore], Any]
) -> None:
    async with EventStore.open(url, upcasters=failing()) as store:
        await log_with_a_bad_event(store)
        page = await store.feed.page(Query(streams="a/", whole_commits=True))
        commits = await take(store.subscribe_changes().commits(), 2)
        assert page.through == commits[-1][0]
        assert positions(page.events) == [1, 2, 4, 5]


async def test_a_consumer_goes_on_at_that_event_once_the_function_is_corrected(
    lasting_url: str, log_with_a_bad_event: Callable[[EventStore], Any]
) -> None:
    async with EventStore.open(lasting_url, upcasters=failing()) as store:
        await log_with_a_bad_event(store)
        async with store.subscribe_changes(consumer="w") as changes:
            assert (await until_failure(changes))[0] == [1, 2, 3, 4, 5, 6, 7]
    mended = Upcasters()
    mended.register("Old", to="New")(lambda data, _: data)
    async with EventStore.open(lasting_url, upcasters=mended) as store:
        changes = store.subscribe_changes(consumer="w", follow=False)
        assert positions(await collect(changes)) == [8, 9, 10, 11, 12]


async def test_an_inline_projection_fails_its_append_alone(url: str) -> None:
    class View:
        name = "view"
        seen = 0

        def setup(self, connection: Any) -> None:
            """Need nothing."""

        def cursor(self, connection: Any) -> None:
            """Say that nothing was seen."""

        def apply(self, connection: Any, events: Any, cursor: Any) -> None:
            """Count."""
            self.seen = len(events)

    async with EventStore.open(url, inline=[View()], upcasters=failing()) as store:
        with pytest.raises(UpcastError) as caught:
            await store.append("a/1", [NewEvent("Old", "bad")])
        assert caught.value.position == 1
        assert (await store.append("a/1", [NewEvent("Old", "good")])).position == 1


def test_a_second_function_for_one_shape_is_refused() -> None:
    upcasters = order_upcasters()
    for type_, to in (("Placed.v1", "Elsewhere"), ("Placed", None)):
        with pytest.raises(ConfigError, match="already") as caught:
            upcasters.register(type_, to=to)(careful)
        assert "careful" in str(caught.value)
    upcasters.register("Placed", schema=2)(careful)


def test_a_circle_is_refused_when_it_would_close() -> None:
    upcasters = Upcasters()
    upcasters.register("A", to="B")(careful)
    upcasters.register("B")(careful)
    for to, to_schema in (("A", 1), ("B", 1), ("B", 2), (None, 2)):
        with pytest.raises(ConfigError, match="circle"):
            upcasters.register("B", schema=2, to=to, to_schema=to_schema)(careful)
    upcasters.register("B", schema=2, to="A", to_schema=2)(careful)


@pytest.mark.parametrize("schema", [0, -1, True, "2", 1.0, None])
def test_a_schema_that_is_no_number_is_refused(schema: Any) -> None:
    with pytest.raises(ConfigError, match="schema"):
        Upcasters().register("A", schema=schema, to="B")
    if schema is not None:
        with pytest.raises(ConfigError, match="schema"):
            Upcasters().register("A", to_schema=schema)


@pytest.mark.parametrize("name", ["", "a\0b", "x" * 256, 7])
def test_a_name_that_no_type_can_have_is_refused(name: Any) -> None:
    with pytest.raises(InvalidInputError):
        Upcasters().register(name, to="A")
    with pytest.raises(InvalidInputError):
        Upcasters().register("A", to=name)


def test_nothing_is_registered_once_a_store_uses_them() -> None:
    upcasters = order_upcasters()
    EventStore.open("memory://", upcasters=upcasters)
    with pytest.raises(ConfigError, match="before a store is opened"):
        upcasters.register("Other", to="Else")(careful)


async def lift_later(data: Any, metadata: dict[str, Any]) -> Any:
    """Be no plain function."""


NO_LIFTERS: list[Any] = [lambda: 1, lambda data: data, lift_later, 7, None]


@pytest.mark.parametrize("function", NO_LIFTERS, ids=ids(NO_LIFTERS))
def test_what_cannot_lift_is_refused_when_it_is_registered(function: Any) -> None:
    upcasters = Upcasters()
    with pytest.raises(ConfigError, match="no upcaster"):
        upcasters.register("A", to="B")(function)
    upcasters.register("A", to="B")(max)
