"""A page of a filtered read searches a bounded part of the log."""

from __future__ import annotations

import pytest

from eventstore import NewEvent
from eventstore.log.clock import system_clock
from eventstore.log.events import ANY, StreamWrite
from eventstore.log.operations import Append, Query
from eventstore.storage import pages
from eventstore.storage.sqlite.backend import SqliteBackend

WINDOW = 10


@pytest.mark.parametrize(
    ("streams", "through"), [("a/1", 30), ("a/none", 30), ("b/1", WINDOW), ("a/", WINDOW)]
)
def test_only_a_short_stream_is_found_at_once(
    monkeypatch: pytest.MonkeyPatch, streams: str, through: int
) -> None:
    monkeypatch.setattr(pages, "SEARCH_WINDOW", WINDOW)
    backend = SqliteBackend("memory://", system_clock)
    backend.open()
    for stream, count in (("a/1", 1), ("b/1", 28), ("a/1", 1)):
        events = [NewEvent("T", 1) for _ in range(count)]
        backend.write([Append((StreamWrite(stream, events, ANY),), count, 0)])
    page = backend.page(Query(streams=streams))
    assert page.through.position == through
    assert all(event.stream.startswith(streams) for event in page.events)
    assert len(page.events) == {"a/1": 2, "a/none": 0, "b/1": 9, "a/": 1}[streams]
    backend.close()


def test_only_events_whose_metadata_holds_the_bytes_leave_the_database() -> None:
    backend = SqliteBackend("memory://", system_clock)
    backend.open()
    metadata: list[dict[str, str] | None] = [{"note": "abc"}, None, {"note": "bcd"}]
    events = [NewEvent("T", "abc", metadata=one) for one in metadata]
    backend.write([Append((StreamWrite("a/1", events, ANY),), 3, 0)])
    for query in (Query(in_metadata=b"bc"), Query(in_metadata=b"bc", streams="a/1")):
        assert [event.position for event in backend.page(query).events] == [1, 3]
    backend.close()
