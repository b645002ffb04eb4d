"""The events that a trim keeps of a seam give the same tables as all events, for random events."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, create_engine, update
from support.examples import examples

from eventstore import Cursor, Event
from projections.journal import JournalTables
from projections.journal.trim_policy import keep_journal
from projections.memories.tables import MemoryTables
from projections.memories.trim_policy import keep_memories
from projections.registry import RegistryTables
from projections.registry.trim_policy import keep_registry
from projections.sql.trim_policy import keep_sql
from projections.tables.checkpoints import projection_table, redacted_table
from projections.testing.scenarios import in_order, read_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore.archive.keepers import Keep
    from projections import TableProjection

small = st.integers(0, 2)


def of(stream: str, type_: str, **fields: Any) -> st.SearchStrategy[tuple[str, str, Any]]:
    """Return events of a type, with some of these fields; now and then what is no such event."""
    data = st.fixed_dictionaries(
        {name: value if isinstance(value, st.SearchStrategy) else st.just(value)
         for name, value in fields.items()}
    )  # fmt: skip
    return st.tuples(st.just(stream), st.just(type_), data | st.just({"odd": 1}))


def bots(bot: str) -> st.SearchStrategy[Any]:
    statuses = st.sampled_from(["active", "inactive"])
    values = {"config": st.just({}), "status": statuses}
    metadata = st.dictionaries(st.sampled_from("kl"), small)
    registered = of(f"bot/{bot}", "BotRegistered", bot_id=bot, metadata=metadata, **values)
    return st.one_of(
        registered,
        registered,
        of(f"bot/{bot}", "BotDeactivated", bot_id=bot),
        of(f"bot/{bot}", "BotUnregistered", bot_id=bot),
    )


def memories(memory: str) -> st.SearchStrategy[Any]:
    fields = {"content": st.text("xy"), "namespace": "learnings", "status": "active"}
    times = {"created_at": 1.0, "updated_at": 2.0}
    stored = of(f"memory/{memory}", "MemoryStored", id=memory, **fields, **times)
    return st.one_of(stored, stored, of(f"memory/{memory}", "MemoryDeleted", id=memory))


def entries(project: str) -> st.SearchStrategy[Any]:
    stream = f"journal/project:{project}"
    at = {"ts": "2026-03-01T12:00:00+00:00", "emoji": "✅", "agent": "ana", "raw_line": ""}
    ids = small.map(str)
    metas = st.none() | st.dictionaries(st.sampled_from("kl"), small)
    inserted = of(stream, "EntryInserted", entry_id=ids, message="m", meta=metas, **at,
                  category=st.none() | st.just("c"))  # fmt: skip
    changed = {"section": None, "action": "a", "agent": None, "metadata": None}
    docs: st.SearchStrategy[Any] = st.none() | st.just({}) | st.just({"d": 1})
    return st.one_of(
        of(stream, "ProjectSet", name=project, repo_root="/", progress_log_path=small.map(str),
           docs_json=docs, bridge_id=st.none() | st.just("b")),
        of(stream, "ProjectDocsSet", docs_json=docs),
        inserted,
        inserted,
        of(stream, "EntryMetaSet", entry_id=ids, meta=st.just({"k": 7})),
        of(stream, "DocChangeRecorded", doc="d", sha_before=None, sha_after=None, **changed),
        of(stream, "ProjectDeleted", name=project),
    )  # fmt: skip


def agents(agent: str) -> st.SearchStrategy[Any]:
    session, names = f"journal/session:{agent}", st.none() | st.sampled_from("pq")
    return st.one_of(
        of(session, "SessionSet", agent_id="x", session_id=agent, metadata=None),
        of(session, "SessionEnded", session_id=agent),
        of(f"journal/agent:{agent}", "AgentProjectSet", agent_id=agent, project_name=names,
           session_id=None, updated_by=None),
    )  # fmt: skip


def any_of(*kinds: Any) -> st.SearchStrategy[Any]:
    return st.one_of(*kinds, of("other/1", "BotRegistered"))


SEAMS: list[tuple[Keep, type[TableProjection], Any]] = [
    (keep_registry, RegistryTables, any_of(bots("a"), bots("b"))),
    (keep_memories, MemoryTables, any_of(memories("a"), memories("b"))),
    (keep_journal, JournalTables,
     any_of(entries("p"), entries("p"), entries("q"), agents("1"), agents("2"))),
]  # fmt: skip


def make_events(found: Sequence[tuple[tuple[str, str, Any], bool]]) -> list[Event]:
    versions: dict[str, int] = {}
    events = []
    for position, ((stream, type_, data), redacted) in enumerate(found, 1):
        version = versions[stream] = versions.get(stream, 0) + 1
        raw = None if redacted else msgspec.json.encode(data)
        rest = None if redacted else b""
        events.append(Event(position, stream, version, type_, position, b"\xff%d" % position, 0,
                            raw, rest, position * 1_000, b""))  # fmt: skip
    return events


@cache
def connection_with(name: str) -> Connection:
    """Return a connection to tables in memory, made once: that takes longer than an example."""
    connection = create_engine("sqlite://").connect()
    for _, view, _ in SEAMS:
        if view.name == name:
            view().setup(connection)
    return connection


def rows(view: type[TableProjection], events: Iterable[Event]) -> dict[str, Any]:
    """Return the rows that the view has after these events."""
    connection = connection_with(view.name)
    for table in (*view.metadata.sorted_tables, redacted_table):
        connection.execute(table.delete())
    connection.execute(update(projection_table).values(log_id=None, position=None, hash=None))
    view().apply(connection, list(events), Cursor("log", 99, b""))
    return {name: in_order(some) for name, some in read_rows(connection, view()).items()}


@pytest.mark.promise("moving")
@pytest.mark.parametrize(("keep", "view", "kinds"), SEAMS, ids=lambda one: getattr(one, "name", ""))
@settings(max_examples=examples(240), deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data(), cut=st.floats(0, 1))
def test_what_is_kept_makes_the_same_tables(
    keep: Keep, view: type[TableProjection], kinds: Any, data: st.DataObject, cut: float
) -> None:
    redacted = st.sampled_from([False] * 9 + [True])
    events = make_events(data.draw(st.lists(st.tuples(kinds, redacted), max_size=25)))
    at = round(cut * len(events))
    went = events[: at // 2]
    # Trimmed twice: the second time the policy sees what the first one has kept.
    kept = set(keep(went))
    again = [*(event for event in went if event.position in kept), *events[at // 2 : at]]
    kept = set(keep(again))
    stays = [event for event in again if event.position in kept] + events[at:]
    assert rows(view, stays) == rows(view, events)


def test_of_the_registry_and_of_memories_nothing_else_is_kept() -> None:
    bot = {"bot_id": "a", "config": {}, "status": "active", "metadata": {}}
    memory = {"id": "a", "content": "x", "namespace": "learnings", "status": "active",
              "created_at": 1, "updated_at": 1}  # fmt: skip
    found: list[tuple[str, str, Any]] = [("bot/a", "BotRegistered", bot)] * 5 + [
        ("bot/a", "BotDeactivated", {})
    ] * 3
    found += [("memory/a", "MemoryStored", memory)] * 4 + [("sql/main", "RowsChanged", {})] * 2
    found += [("journal/project:p", "EntryInserted", {})]
    events = make_events([(one, False) for one in found])
    assert set(keep_registry(events)) == {1, 5, 8}
    assert set(keep_memories(events)) == {12}
    assert set(keep_sql(events)) == {13, 14}
    assert set(keep_journal(events)) == set()


def test_an_entry_that_another_project_had_first_does_not_come_back_with_its_deletion() -> None:
    project = {"repo_root": "/", "progress_log_path": "/log"}
    entry = {"entry_id": "1", "ts": "2026-03-01T12:00:00+00:00", "emoji": None, "agent": None,
             "message": "m", "meta": None, "raw_line": ""}  # fmt: skip
    found: list[tuple[str, str, Any]] = [
        *((f"journal/project:{name}", "ProjectSet", {"name": name, **project}) for name in "pq"),
        *((f"journal/project:{name}", "EntryInserted", entry) for name in "pq"),
        ("journal/project:p", "ProjectDeleted", {"name": "p"}),
    ]
    events = make_events([(one, False) for one in found])
    assert set(keep_journal(events)) == {2}
    # As long as the first one is there, and once it is gone.
    again = [*events, *make_events([(one, False) for one in [found[0]] * 5 + [found[3]]])[5:]]
    assert set(keep_journal(events[:4])) == {1, 2, 3}
    assert set(keep_journal(again)) == {2, 6}
