"""What a store of memories does, wherever they are kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from support.memories import Place, exact, some
from support.signatures import same_signatures

from eventstore import HistoryGoneError, InvalidInputError, LimitExceededError, StoreClosedError
from eventstore.sync import EventStore
from eventstore.testing import FakeClock
from projections.memories import (
    Domain,
    Memory,
    MemoryStore,
    MemoryStoreProtocol,
    Namespace,
    Status,
)

if TYPE_CHECKING:
    from pathlib import Path

FULL = Memory(
    id="Full_memory-1",
    content='NUL \0, astral 𝄞, \u2028, \\u0000 and a quote "',
    namespace=Namespace.TECH_DEBT,
    domain=Domain("acme", "", None),
    project_id="p\0",
    branch="main",
    file_path="src/ä.py",
    status=Status.CONSOLIDATED,
    created_at=1_700_000_000,
    updated_at=1_700_000_000.1,
    tombstoned_at=-0.0,
    expires_at=5e-324,
    embedding=[-0.0, 0, 1e308, 5e-324, 0.1, 2**53 + 1],
    tags=["", "a", "a"],
    source="",
    is_summary=True,
    source_memory_ids=[],
    consolidation_timestamp=2.5,
)


@pytest.mark.promise("memories")
def test_every_field_comes_back_exactly(memories: MemoryStore) -> None:
    assert all(getattr(FULL, field.name) is not None for field in dataclasses.fields(FULL))
    memories.store(FULL)
    assert exact(memories.get(FULL.id)) == exact(FULL)
    assert exact(memories.get_batch([FULL.id])) == exact([FULL])


def test_nothing_and_emptiness_are_told_apart(memories: MemoryStore) -> None:
    bare = some("bare")
    empty = some("empty", "", embedding=[], source="", source_memory_ids=[], project_id="")
    memories.store(bare)
    memories.store(empty)
    assert exact(memories.get_batch(["bare", "empty"])) == exact([bare, empty])


def test_every_namespace_comes_back(memories: MemoryStore) -> None:
    for namespace in Namespace:
        memories.store(some(namespace.value, namespace=namespace))
    for memory in memories.get_batch(Namespace):
        assert memory.namespace is Namespace(memory.id)
    assert memories.count() == len(Namespace) == 14


def test_every_status_comes_back_and_hides_nothing(memories: MemoryStore) -> None:
    for status in Status:
        memories.store(some(status.value, status=status, expires_at=1))
    for memory in memories.get_batch(Status):
        assert memory.status is Status(memory.id)
        assert memories.exists(memory.id)
    assert memories.count() == len(memories.list_ids()) == len(Status) == 7


def test_embeddings_of_thousands_come_back_to_the_last_bit(memories: MemoryStore) -> None:
    numbers = [(-1) ** n * (n + 1) / 7919 / 3 for n in range(4096)]
    memories.store(some(embedding=numbers))
    found = memories.get("m-1")
    assert found is not None
    assert exact(found.embedding) == exact(numbers)


def test_storing_again_replaces(memories: MemoryStore) -> None:
    memories.store(some(tags=["old"], embedding=[1.0]))
    newer = some(content="newer")
    memories.store(newer)
    assert (memories.get("m-1"), memories.count()) == (newer, 1)


def test_what_is_not_there_is_not_there(memories: MemoryStore) -> None:
    assert memories.get("m-1") is None
    assert memories.exists("m-1") is False
    assert memories.delete("m-1") is False
    assert memories.list_ids() == []
    assert memories.get_batch(["m-1"]) == []
    assert memories.get_batch([]) == []
    assert memories.count() == 0
    assert memories.history("m-1") == []


def test_a_deleted_memory_is_gone_and_may_be_stored_again(memories: MemoryStore) -> None:
    memories.store(some())
    assert memories.delete("m-1") is True
    assert memories.delete("m-1") is False
    assert (memories.get("m-1"), memories.exists("m-1"), memories.count()) == (None, False, 0)
    memories.store(some(content="again"))
    assert memories.get("m-1") == some(content="again")


def test_ids_are_listed_by_their_letters(memories: MemoryStore) -> None:
    ids = ["b", "A", "a", "_", "-", "1", "aa", "B"]
    for memory_id in ids:
        memories.store(some(memory_id))
    assert memories.list_ids() == sorted(ids)


def test_a_batch_is_in_the_order_asked_without_what_is_missing(memories: MemoryStore) -> None:
    for memory_id in "abc":
        memories.store(some(memory_id))
    found = memories.get_batch(iter(["c", "x", "a", "c"]))
    assert [memory.id for memory in found] == ["c", "a", "c"]
    assert found[0] is not found[2]


def test_a_batch_may_ask_for_more_ids_than_a_statement_has_parameters(
    memories: MemoryStore,
) -> None:
    memories.store(some("id-69999"))
    found = memories.get_batch(f"id-{number}" for number in range(70_000))
    assert [memory.id for memory in found] == ["id-69999"]


def test_memories_are_the_callers_own(memories: MemoryStore) -> None:
    memory = some(tags=["a"], embedding=[1.0])
    memories.store(memory)
    memory.tags.append("b")
    first = memories.get("m-1")
    assert first is not None
    first.tags.append("c")
    first.content = "changed"
    assert memories.get("m-1") == some(tags=["a"], embedding=[1.0])


FULL_WIDTH = "\uff41", "\uff11"
BAD_IDS: list[Any] = [
    "", " ", "a b", "a/b", "..", ".", "a.json", "a\0", "ä", *FULL_WIDTH, "a\n", "x" * 256, None, 1,
    b"a",
]  # fmt: skip


@pytest.mark.promise("memories")
def test_what_cannot_be_an_id_is_refused_by_store_and_absent_elsewhere(
    memories: MemoryStore,
) -> None:
    memories.store(some("a"))
    for bad in BAD_IDS:
        with pytest.raises(InvalidInputError, match="memory id"):
            memories.store(some(bad))
        assert memories.get(bad) is None
        assert memories.exists(bad) is False
        assert memories.delete(bad) is False
        assert memories.get_batch(["a", bad]) == [some("a")]
        assert memories.history(bad) == []
    memories.delete("a")
    assert memories.count() == 0


def test_any_other_id_is_taken(memories: MemoryStore) -> None:
    good = sorted(["x" * 255, "X" * 255, "-", "_", "0", "con", "a--b__c"])
    for memory_id in good:
        memories.store(some(memory_id))
    assert memories.list_ids() == good
    assert memories.get_batch(good) == [some(memory_id) for memory_id in good]


HALF = "half \ud800"
BAD_FIELDS: list[dict[str, Any]] = [
    {"content": HALF}, {"content": None}, {"content": b"x"}, {"tags": [HALF]}, {"tags": [1]},
    {"source": HALF}, {"project_id": 7}, {"branch": HALF}, {"file_path": HALF},
    {"domain": Domain(project=HALF)}, {"domain": "acme"}, {"source_memory_ids": [None]},
    {"embedding": [1.0, float("nan")]}, {"embedding": [float("inf")]}, {"embedding": [True]},
    {"embedding": ["1"]}, {"embedding": [2**64]}, {"created_at": float("nan")},
    {"updated_at": None}, {"expires_at": float("-inf")}, {"tombstoned_at": "now"},
    {"consolidation_timestamp": True}, {"is_summary": 1}, {"is_summary": None},
]  # fmt: skip


@pytest.mark.promise("memories")
def test_what_cannot_be_kept_exactly_is_refused_before_anything_is_written(
    memories: MemoryStore,
) -> None:
    memories.store(some())
    for fields in BAD_FIELDS:
        with pytest.raises(InvalidInputError, match=next(iter(fields))):
            memories.store(some(**fields))
    assert memories.get("m-1") == some()
    assert len(memories.history("m-1")) == 1


def test_an_oversize_memory_is_refused(memories: MemoryStore) -> None:
    with pytest.raises(LimitExceededError):
        memories.store(some(content="x" * (16 * 1024 * 1024)))
    assert memories.count() == 0


def test_something_else_than_a_memory_is_refused(memories: MemoryStore) -> None:
    with pytest.raises(InvalidInputError, match="Memory"):
        memories.store({"id": "m-1"})  # type: ignore[arg-type]


def test_names_and_mappings_are_taken_for_what_they_mean() -> None:
    loose: Any = Memory
    memory = loose(
        "m-1",
        "x",
        "tech-debt",
        {"project": "p"},
        status="archived",
        tags=("a",),
        embedding=(1, 2.0),
    )
    assert memory.namespace is Namespace.TECH_DEBT
    assert memory.status is Status.ARCHIVED
    assert (memory.domain, memory.tags, memory.embedding) == (Domain(project="p"), ["a"], [1, 2.0])


class TheirNamespace(Enum):
    DEBT = "TECH_DEBT"


@pytest.mark.parametrize(
    "name", ["tech-debt", "tech_debt", "Tech-Debt", " TECH_DEBT ", TheirNamespace.DEBT], ids=repr
)
def test_names_are_read_in_every_spelling_and_kept_as_the_canonical_one(name: Any) -> None:
    assert some(namespace=name).namespace is Namespace.TECH_DEBT is Namespace(name)
    assert some(status="Archived").status is Status.ARCHIVED


@dataclass
class TheirMemory(Memory):
    """A memory of the caller's own class, which checks nothing."""

    def __post_init__(self) -> None:
        """Keep what was given."""


def test_an_object_with_the_same_fields_is_stored_and_checked(memories: MemoryStore) -> None:
    values = {one.name: getattr(some(), one.name) for one in dataclasses.fields(Memory)}
    domain = SimpleNamespace(organization="o", project=None, repository=None)
    theirs: Any = SimpleNamespace(**{**values, "namespace": "Decisions", "domain": domain})
    memories.store(theirs)
    read = memories.get("m-1")
    assert read is not None
    assert (read.namespace, read.domain) == (Namespace.DECISIONS, Domain("o"))
    for wrong in ({"namespace": "gossip"}, {"tags": 5}, {"content": 5}):
        with pytest.raises(InvalidInputError):
            memories.store(TheirMemory(**{**values, **wrong}))


def test_it_has_the_shape_of_the_protocol(memories: MemoryStore) -> None:
    assert isinstance(memories, MemoryStoreProtocol)
    same_signatures(MemoryStoreProtocol, MemoryStore, methods=7)


@pytest.mark.parametrize(
    "fields",
    [{"namespace": "gossip"}, {"status": "lost"}, {"domain": {"planet": 1}}, {"tags": "a"}],
)
def test_names_that_are_not_known_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"gossip|lost|planet|no list"):
        some(**fields)


def test_a_changed_field_is_checked_as_well(memories: MemoryStore) -> None:
    memory: Any = some()
    memory.status = "gossip"
    with pytest.raises(InvalidInputError, match="gossip"):
        memories.store(memory)


def test_history_tells_what_happened_who_did_it_and_when(place: Place) -> None:
    clock = FakeClock()
    with place.open(by="ana", clock=clock) as memories:
        memories.store(some())
        memories.store(some("other"))
        clock.now_us += 1_000_000
        memories.delete("m-1")
        changes = memories.history("m-1")
    assert [(c.kind, c.memory_id, c.memory, c.position, c.by) for c in changes] == [
        ("stored", "m-1", some(), 1, "ana"),
        ("deleted", "m-1", None, 3, "ana"),
    ]
    assert changes[1].at - changes[0].at == timedelta(seconds=1)
    assert changes[0].at == datetime.fromtimestamp(1_700_000_000, UTC)


def test_memories_can_be_seen_as_they_were(place: Place) -> None:
    clock = FakeClock()
    with place.open(clock=clock) as memories:
        for memory in (some("b"), some("a"), some("b", "newer")):
            memories.store(memory)
            clock.now_us += 1_000_000
        memories.delete("a")
        seen = [memories.memories_at(position) for position in range(5)]
        assert seen == [[], [some("b")], [some("a"), some("b")], [some("a"), some("b", "newer")],
                        [some("b", "newer")]]  # fmt: skip
        start = datetime.fromtimestamp(1_700_000_000, UTC)
        assert memories.memories_at(start + timedelta(seconds=1.5)) == seen[2]
        assert memories.memories_at(start - timedelta(seconds=1)) == []
        with pytest.raises(InvalidInputError, match="aware"):
            memories.memories_at(datetime(2024, 1, 1))  # noqa: DTZ001


def test_a_trim_hides_nothing_of_what_stands_and_refuses_what_it_removed(
    lasting: Place, tmp_path: Path
) -> None:
    clock = FakeClock()
    start = clock.now_us
    with lasting.open(clock=clock) as memories:
        for memory in (some("b"), some("a"), some("b", "newer"), some("c")):
            memories.store(memory)
            clock.now_us += 1_000_000
        memories.delete("c")
        clock.now_us += 1_000_000
        stands = memories.memories_at(5)
    with EventStore.open(lasting.url, clock=clock) as log:
        log.trim(6, archive=tmp_path / "old")
    with lasting.open(clock=clock) as memories:
        trimmed = datetime.fromtimestamp((start + 5_000_000) / 1e6, UTC)
        assert stands == memories.memories_at(5) == memories.memories_at(10**9)
        assert stands == memories.memories_at(trimmed)
        assert [change.memory for change in memories.history("b")] == [some("b", "newer")]
        assert memories.history("c") == []
        for at in (0, 4, trimmed - timedelta(microseconds=1)):
            with pytest.raises(HistoryGoneError, match="what stood before position 5 is unknown"):
                memories.memories_at(at)


def test_what_is_closed_says_so(place: Place) -> None:
    memories = place.open()
    memories.store(some())
    memories.close()
    memories.close()
    assert memories.closed
    for call in (memories.count, lambda: memories.store(some()), memories.subscribe_changes):
        with pytest.raises(StoreClosedError, match="closed"):
            call()


def test_everything_is_there_when_it_is_opened_again(lasting: Place) -> None:
    with lasting.open() as memories:
        memories.store(FULL)
        memories.store(some("gone"))
        memories.delete("gone")
    with lasting.open() as memories:
        assert memories.list_ids() == [FULL.id]
        assert exact(memories.get(FULL.id)) == exact(FULL)


def test_one_store_reads_at_once_what_another_has_written(lasting: Place) -> None:
    with lasting.open() as one, lasting.open() as two:
        for number in range(10):
            writer, reader = (one, two) if number % 2 else (two, one)
            writer.store(some(content=str(number)))
            assert reader.get("m-1") == some(content=str(number))
        assert one.delete("m-1")
        assert not two.exists("m-1")


def test_a_copy_with_another_id_is_another_memory(memories: MemoryStore) -> None:
    memories.store(FULL)
    memories.store(replace(FULL, id="full_memory-1"))
    assert memories.list_ids() == ["Full_memory-1", "full_memory-1"]
