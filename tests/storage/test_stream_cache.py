"""A writer reads again only what another one may have changed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from support.logs import some

from eventstore import ConflictError, DuplicateEventError, NewEvent, StreamWrite
from eventstore.log.clock import system_clock
from eventstore.log.events import Appended
from eventstore.log.operations import Transact
from eventstore.log.validation import check_append
from eventstore.storage import _stream_cache
from eventstore.storage.backends import make_backend
from eventstore.storage.sqlite.backend import SqliteBackend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import Any

    from eventstore.storage.protocols import MovableLog


@pytest.fixture
def pair(lasting_url: str) -> Iterator[list[MovableLog]]:
    """Give two open backends of one log."""
    with ExitStack() as stack:
        pair = []
        for _ in range(2):
            backend = make_backend(lasting_url, system_clock, ())
            backend.open()
            stack.callback(backend.close)
            pair.append(backend)
        yield pair


def append(log: MovableLog, stream: str, events: Sequence[NewEvent], expected: int) -> Any:
    return log.write([check_append([StreamWrite(stream, events, expected)])])[0]


def test_writers_that_alternate_know_each_other_s_streams(pair: list[MovableLog]) -> None:
    for version in range(6):
        log = pair[version % 2]
        for stream in ("a/1", f"b/{version // 2}"):
            expected = version if stream == "a/1" else version % 2
            done = append(log, stream, some(1), expected)
            assert isinstance(done, Appended), done
            assert done.version == expected + 1
    assert pair[0].head().position == 12


def test_a_writer_finds_ids_that_another_one_stored(pair: list[MovableLog]) -> None:
    first, second = pair
    append(first, "a/1", some(1), 0)
    mine = some(2)
    text = [NewEvent("Happened", 1, id="order-1")]
    append(second, "a/1", mine, 1)
    append(second, "a/1", text, 3)
    assert append(first, "a/1", mine, 0).duplicate
    assert append(first, "a/1", text, 0).duplicate
    assert isinstance(append(first, "b/1", [mine[0], *some(1)], 0), DuplicateEventError)


def test_an_own_id_is_found_without_a_read_since(pair: list[MovableLog]) -> None:
    late, early = some(1), some(1)
    early[0].raw_id, late[0].raw_id = b"\x01" * 16, b"\xfe" * 16
    for events in (late, early):
        append(pair[0], "a/1", events, 0 if events is late else 1)
        assert append(pair[0], "a/1", events, 0).duplicate


def test_a_group_that_was_rolled_back_leaves_nothing_known(pair: list[MovableLog]) -> None:
    def fail(_: object) -> None:
        raise ValueError("the caller's own")

    (log, _) = pair
    append(log, "a/1", some(1), 0)
    group = [check_append([StreamWrite(name, some(1))]) for name in ("a/1", "b/1")]
    with pytest.raises(ValueError, match="own"):
        log.write([*group, Transact(fail)])
    assert isinstance(append(log, "b/1", some(1), 1), ConflictError)
    assert append(log, "b/1", some(1), 0).version == 1
    assert append(log, "a/1", some(1), 1).version == 2


def test_streams_beyond_the_limit_are_read_again(
    pair: list[MovableLog], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_stream_cache, "MAX_STREAMS", 3)
    for version in range(3):
        for key in range(5):
            assert append(pair[0], f"a/{key}", some(1), version).version == version + 1


def test_a_writer_that_is_alone_reads_the_head_only() -> None:
    backend = SqliteBackend("memory://", system_clock)
    backend.open()
    append(backend, "a/1", some(1), 0)
    statements: list[str] = []
    assert backend._writer is not None
    raw = backend._writer.raw
    raw.set_trace_callback(statements.append)
    append(backend, "a/1", some(1), 1)
    append(backend, "a/1", some(1), 2)
    backend.close()
    reads = [sql for sql in statements if sql.startswith("SELECT")]
    assert len(reads) == 2
    assert all(sql.endswith(" FROM main.head") for sql in reads)
