"""Every memory that hypothesis makes comes back exactly, and so do the tables after a rebuild."""

from __future__ import annotations

import tempfile
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from support.examples import examples
from support.memories import IDS, KINDS, MEMORIES, Place, exact, some
from support.waiting import eventually

from eventstore import EventStore
from projections import ProjectionBusyError, ProjectionRunner
from projections.memories import MemoryTables
from projections.memories.files import WANTED, file_name, memory_directory

if TYPE_CHECKING:
    from projections.memories import Memory, MemoryStore


@pytest.mark.promise("memories")
@settings(
    max_examples=examples(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(batch=st.lists(MEMORIES, min_size=1, max_size=6, unique_by=lambda memory: memory.id))
def test_any_memory_comes_back_exactly(memories: MemoryStore, batch: list[Memory]) -> None:
    for memory in batch:
        memories.store(memory)
    found = memories.get_batch(memory.id for memory in batch)
    assert exact(found) == exact(batch)
    assert exact([memories.get(memory.id) for memory in batch]) == exact(batch)
    assert exact([memories.history(memory.id)[-1].memory for memory in batch]) == exact(batch)


@pytest.mark.promise("memories")
@given(one=IDS, two=IDS)
def test_no_two_ids_have_one_file_on_any_file_system(one: str, two: str) -> None:
    for name in (file_name(one), file_name(one.swapcase()), file_name(one * 255)):
        assert len(name.encode()) <= 255
    others = {two, one.lower(), one.upper(), one[:200], one[:199]} - {one}
    assert file_name(one).lower() not in {file_name(other).lower() for other in others}


def test_short_ids_in_lower_case_are_names_as_they_are() -> None:
    assert file_name("mem-2024_01") == "mem-2024_01.json"
    assert file_name("Mem") == "Mem~a560e7eaa00b683a819ded78ff1581ad.json"


class Story(RuleBasedStateMachine):
    """Memories beside a dictionary, with restarts and rebuilds in between."""

    kind = "sqlite"
    ids = Bundle("ids")

    @initialize(target=ids)
    def begin(self) -> object:
        self._directory = tempfile.TemporaryDirectory()
        self.place = Place(self.kind, Path(self._directory.name))
        self.store = self.place.open()
        self.expected: dict[str, Memory] = {}
        self.written = 0
        return multiple("a", "A", "b-1", "x" * 255)

    def teardown(self) -> None:
        if hasattr(self, "store"):
            self.store.close()
            self._directory.cleanup()

    @rule(target=ids, memory=MEMORIES)
    def keep(self, memory: Memory) -> str:
        self.store.store(memory)
        self.expected[memory.id] = memory
        self.written += 1
        return memory.id

    @rule(memory_id=ids, content=st.sampled_from(["", "x", "\0"]))
    def keep_again(self, memory_id: str, content: str) -> None:
        self.expected[memory_id] = some(memory_id, content, tags=[content])
        self.store.store(self.expected[memory_id])
        self.written += 1

    @rule(memory_id=ids)
    def delete(self, memory_id: str) -> None:
        was_there = self.expected.pop(memory_id, None) is not None
        assert self.store.delete(memory_id) is was_there
        self.written += was_there

    @rule(memory_id=ids)
    def look(self, memory_id: str) -> None:
        expected = self.expected.get(memory_id)
        assert exact(self.store.get(memory_id)) == exact(expected)
        assert self.store.exists(memory_id) is (expected is not None)
        history = self.store.history(memory_id)
        assert exact(history[-1].memory if history else None) == exact(expected)

    @rule()
    def restart(self) -> None:
        if self.kind != "memory":
            self.store.close()
            self.store = self.place.open()

    @rule(close=st.booleans())
    def rebuild(self, close: bool) -> None:
        if self.kind == "memory":
            return
        if close:
            self.store.close()
        anyio.run(rebuild, self.place)
        if close:
            self.store = self.place.open()

    @invariant()
    def everything_is_as_in_the_dictionary(self) -> None:
        if not hasattr(self, "store"):
            return
        ids = sorted(self.expected)
        assert self.store.list_ids() == ids
        assert self.store.count() == len(ids)
        found = self.store.get_batch(reversed(ids))
        assert exact(found) == exact([self.expected[one] for one in reversed(ids)])
        assert exact(self.store.memories_at(self.written)) == exact(found[::-1])
        if self.place.directory is not None and self.written:
            assert self.place.files().keys() == self.expected.keys()


async def rebuild(place: Place) -> None:
    """Compute the tables again, and the files, as the command line does."""
    async with EventStore.open(place.url) as log:
        await ProjectionRunner(log, MemoryTables().at(place.url)).rebuild()
        if place.directory is not None:
            await eventually(partial(try_rebuild, log, place.directory))


async def try_rebuild(log: EventStore, directory: Path) -> bool:
    """Compute the files again, once the store leaves the directory to others."""
    with suppress(ProjectionBusyError):
        (directory / WANTED).touch()
        await ProjectionRunner(log, memory_directory(directory)).rebuild()
        return True
    return False


@pytest.mark.slow
@pytest.mark.promise("memories")
@pytest.mark.hypothesis
@pytest.mark.parametrize("kind", KINDS)
def test_any_story_ends_as_a_dictionary_says(kind: str) -> None:
    story = type("Story", (Story,), {"kind": kind})
    run_state_machine_as_test(
        story, settings=settings(max_examples=examples(12), stateful_step_count=20, deadline=None)
    )
