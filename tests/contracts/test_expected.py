"""Expected versions are checked against the truth (promise 3)."""

import anyio
import pytest
from support.logs import some
from support.waiting import collect

from eventstore import ANY, NO_STREAM, STREAM_EXISTS, EventStore, NewEvent, StreamWrite
from eventstore.errors import ConflictError

pytestmark = pytest.mark.anyio


async def test_the_right_version_is_accepted(store: EventStore) -> None:
    await store.append("a/1", some(2), expected=NO_STREAM)
    await store.append("a/1", some(1), expected=2)
    await store.append("a/1", some(1), expected=STREAM_EXISTS)
    assert (await store.append("a/1", some(1), expected=ANY)).version == 5


@pytest.mark.promise("expected")
@pytest.mark.parametrize(
    ("stream", "expected", "actual"),
    [("a/1", 0, 2), ("a/1", 1, 2), ("a/1", 3, 2), ("b/1", 1, 0), ("a/10", 2, 0), ("a/1", 2**70, 2)],
)
async def test_a_wrong_version_says_expected_and_actual(
    store: EventStore, stream: str, expected: int, actual: int
) -> None:
    await store.append("a/1", some(2))
    before = await store.head()
    with pytest.raises(ConflictError) as caught:
        await store.append(stream, some(1), expected=expected)
    error = caught.value
    assert (error.stream, error.expected, error.actual) == (stream, expected, actual)
    assert await store.head() == before


async def test_stream_exists_needs_an_event(store: EventStore, start: int) -> None:
    with pytest.raises(ConflictError) as caught:
        await store.append("a/1", some(1), expected=STREAM_EXISTS)
    assert (caught.value.expected, caught.value.actual) == ("STREAM_EXISTS", 0)
    assert (await store.head()).position == start


@pytest.mark.promise("expected")
async def test_of_many_racing_appends_one_wins_each_version(store: EventStore) -> None:
    won: list[int] = []
    lost: list[ConflictError] = []

    async def race(number: int) -> None:
        for version in range(5):
            try:
                await store.append("a/1", [NewEvent("T", number)], expected=version)
                won.append(version)
            except ConflictError as error:
                lost.append(error)

    async with anyio.create_task_group() as tasks:
        for number in range(10):
            tasks.start_soon(race, number)
    assert sorted(won) == [0, 1, 2, 3, 4]
    assert len(lost) == 45
    assert len(await collect(store.read_stream("a/1"))) == 5


async def test_a_conflict_tells_the_truth_at_that_moment(store: EventStore) -> None:
    lost: list[ConflictError] = []

    async def race() -> None:
        try:
            await store.append("a/1", some(1), expected=NO_STREAM)
        except ConflictError as error:
            lost.append(error)

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(race)
    assert [error.actual for error in lost] == [1] * 19


@pytest.mark.promise("expected")
async def test_stores_that_race_on_one_log_lose_nothing(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as one, EventStore.open(lasting_url) as two:

        async def count_to(store: EventStore, goal: int) -> None:
            added, version = 0, 0
            while added < goal:
                try:
                    version = (await store.append("a/1", some(1), expected=version)).version
                    added += 1
                except ConflictError as error:
                    version = error.actual

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(count_to, one, 30)
            tasks.start_soon(count_to, two, 30)
        versions = [event.version for event in await collect(one.read_stream("a/1"))]
        assert versions == list(range(1, 61))


@pytest.mark.parametrize("expected", [True, False, -1, 1.0, "ANY", None])
@pytest.mark.any_past
async def test_what_is_no_version_is_refused(
    store: EventStore, expected: object, start: int
) -> None:
    with pytest.raises(ValueError, match="expected="):
        await store.append_many([StreamWrite("a/1", some(1), expected)])  # type: ignore[arg-type]
    assert (await store.head()).position == start
