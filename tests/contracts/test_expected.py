"""Expected versions are checked against the truth (promise 3)."""

import anyio
import pytest
from support.logs import some

from eventstore import NO_STREAM, STREAM_EXISTS, EventStore, StreamWrite
from eventstore.errors import ConflictError

pytestmark = pytest.mark.anyio


async def test_stream_exists_needs_an_event(store: EventStore, start: int) -> None:
    with pytest.raises(ConflictError) as caught:
        await store.append("a/1", some(1), expected=STREAM_EXISTS)
    assert (caught.value.expected, caught.value.actual) == ("STREAM_EXISTS", 0)
    assert (await store.head()).position == start


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


@pytest.mark.parametrize("expected", [True, False, -1, 1.0, "ANY", None])
@pytest.mark.any_past
async def test_what_is_no_version_is_refused(
    store: EventStore, expected: object, start: int
) -> None:
    with pytest.raises(ValueError, match="expected="):
        await store.append_many([StreamWrite("a/1", some(1), expected)])  # type: ignore[arg-type]
    assert (await store.head()).position == start
