"""What the registry and the journal let an append send as SQL, and what they do not."""

from __future__ import annotations

import pytest

from eventstore.log.events import Event
from eventstore.storage.beside_head import may_be_beside
from projections.journal import JournalTables
from projections.registry import RegistryTables
from projections.registry.listing import listing_of
from projections.registry.queries import registrations
from projections.tables.statements import MOST_STATED

pytestmark = [pytest.mark.unit, pytest.mark.promise("projection")]

BOT = b'{"bot_id":"a","config":{},"status":"active","metadata":{"team":"red","n":1}}'
ENTRY = (
    b'{"entry_id":"e","ts":"2026-01-01","emoji":null,"agent":null,"message":"m",'
    b'"meta":{"k":1},"raw_line":"l"}'
)
PROJECT = b'{"name":"p","repo_root":"/","progress_log_path":""}'


def event(type_: str, stream: str, data: bytes, version: int = 1) -> Event:
    return Event(7, stream, version, type_, 7, b"", 0, data, b"", 1, b"")


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_single_events_are_sql_that_asks_nothing(dialect: str) -> None:
    first = RegistryTables().statements(dialect, [event("BotRegistered", "bot/a", BOT)])
    assert first is not None
    assert [sql.split()[:3] for sql, _ in first] == [
        ["INSERT", "INTO", "bot"],
        *[["INSERT", "INTO", "bot_metadata"]] * 2,
    ]
    again = RegistryTables().statements(dialect, [event("BotRegistered", "bot/a", BOT, 2)])
    assert again is not None
    assert [sql.split()[0] for sql, _ in again] == ["INSERT", "DELETE", "INSERT", "INSERT"]
    entry = event("EntryInserted", "journal/project:p", ENTRY)
    found = JournalTables().statements(dialect, [entry])
    assert found is not None
    assert [sql.split()[:2] for sql, _ in found] == [
        ["INSERT", "INTO"],
        ["UPDATE", "journal_project"],
        ["INSERT", "INTO"],
    ]
    assert all(sql.count("?") == len(values) for sql, values in found)


def test_many_events_and_rarer_kinds_are_applied_by_the_projection() -> None:
    bots = [event("BotRegistered", "bot/a", BOT)] * (MOST_STATED + 1)
    assert RegistryTables().statements("sqlite", bots) is None
    project = event("ProjectSet", "journal/project:p", PROJECT)
    assert JournalTables().statements("sqlite", [project]) is None
    assert JournalTables().statements("sqlite", [event("Other", "a/1", b"{}")]) == []


def test_only_rows_without_an_order_are_joined_to_the_head() -> None:
    assert may_be_beside(registrations.find("postgresql", "a"))
    listing = listing_of(None, filter_metadata={"team": "red"}, limit=20)
    assert not may_be_beside(registrations.find_all("postgresql", listing))


def test_a_shape_of_a_listing_is_compiled_once() -> None:
    texts = {
        registrations.find_all(
            "sqlite", listing_of(None, filter_metadata={"team": team}, limit=limit)
        )[0]
        for team, limit in (("red", 1), ("blue", 2))
    }
    assert len(texts) == 1
