"""Appends by one statement on PostgreSQL: when they are, and that nothing else stands by it."""

from __future__ import annotations

from contextlib import ExitStack
from threading import Thread, get_ident
from typing import TYPE_CHECKING, Any, Final

import anyio
import psycopg
import pytest
from support.audit import audit_postgres
from support.logs import some
from support.waiting import eventually

from eventstore import (
    Appended,
    ConflictError,
    DuplicateEventError,
    EventStore,
    LogReplacedError,
    NewEvent,
    StorageError,
    StreamWrite,
)
from eventstore.log.clock import system_clock
from eventstore.log.validation import check_append
from eventstore.storage import _stream_cache
from eventstore.storage.backends import make_backend
from eventstore.storage.postgres import _single_statement
from eventstore.storage.postgres.backend import PostgresBackend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.postgres import Server
    from support.proxy import Proxy

    from eventstore.log.operations import Append

BUSY: Final = b"BEGIN"
"""What the server answers once it has begun a transaction of several statements."""


@pytest.fixture
def url(postgres: Server) -> str:
    """Name a schema with nothing in it."""
    return postgres.fresh_schema()


@pytest.fixture
def open_backend() -> Iterator[Callable[[str], PostgresBackend]]:
    """Open logs, which are closed in the end."""
    with ExitStack() as stack:

        def open_(url: str) -> PostgresBackend:
            backend = make_backend(url, system_clock, ())
            assert isinstance(backend, PostgresBackend)
            backend.open()
            backend.identify()
            stack.callback(backend.close)
            return backend

        yield open_


@pytest.fixture
def always(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plan each group on the head that is known, however busy other writers are."""
    for module in (_stream_cache, _single_statement):
        monkeypatch.setattr(module, "BUSY_GROUPS", 0)


def one(stream: str, expected: Any = None, events: list[NewEvent] | None = None) -> Append:
    """Return an append of one event, or of those that are given."""
    write = (stream, events or some(1))
    return check_append(
        [StreamWrite(*write) if expected is None else StreamWrite(*write, expected)]
    )


def positions(outcomes: list[Any]) -> list[Any]:
    """Return the position of each result, and the class of each error."""
    return [one.position if isinstance(one, Appended) else type(one) for one in outcomes]


@pytest.mark.parametrize("events", [1, 3, 200])
def test_a_writer_that_is_alone_begins_no_transaction(
    proxy: Proxy, url: str, open_backend: Callable[[str], PostgresBackend], events: int
) -> None:
    backend = open_backend(proxy.url(url))
    backend.write([one("a/1"), one("a/2")])
    begun = proxy.when(BUSY, lambda: None, sender="server")
    for _ in range(7):
        backend.write([one("a/1", events=some(events)), one("a/2")])
    for number in range(3):
        backend.write([one("a/2"), one(f"new/{number}", 0), one(f"other/{number}", 0)])
        backend.write([one(f"new/{number}", 1)])
    assert not begun.is_set()
    assert audit_postgres(url) == 2 + 7 * (events + 1) + 3 * 4


def test_what_has_to_be_read_and_what_is_large_takes_a_transaction(
    proxy: Proxy, url: str, open_backend: Callable[[str], PostgresBackend]
) -> None:
    backend = open_backend(proxy.url(url))
    backend.write([one("a/1")])
    early = [NewEvent("Happened", 1, id="00000000-0000-7000-8000-000000000000")]
    for append in (
        one("a/1", events=some(_single_statement.MOST_EVENTS + 1)),
        one("a/1", events=[NewEvent("Happened", "x" * _single_statement.MOST_BYTES)]),
        one("a/1", events=[NewEvent("Happened", 1, id="a text")]),
        one("a/1", events=early),
    ):
        begun = proxy.when(BUSY, lambda: None, sender="server")
        assert isinstance(backend.write([append])[0], Appended)
        assert begun.is_set()


@pytest.mark.usefixtures("always")
def test_a_group_planned_on_a_head_that_has_moved_is_planned_again(
    url: str, open_backend: Callable[[str], PostgresBackend]
) -> None:
    mine, other = open_backend(url), open_backend(url)
    mine.write([one("a/1"), one("a/2")])
    other.write([one("a/1", 1)])
    # A conflict with what is known is none with what is there, and the reverse.
    assert positions(mine.write([one("a/1", 2), one("a/2", 1)])) == [4, 5]
    other.write([one("a/1", 3)])
    assert positions(mine.write([one("a/1", 3), one("a/2", 2)])) == [ConflictError, 7]
    stored = some(2)
    other.write([one("b/1", events=stored)])
    again = mine.write([one("b/1", events=stored), one("a/2", 3)])
    assert [done.duplicate for done in again if isinstance(done, Appended)] == [True, False]
    outcomes = mine.write([one("a/2", 4, [stored[0], *some(1)]), one("a/2", 4)])
    assert positions(outcomes) == [DuplicateEventError, 11]
    assert audit_postgres(url) == 11


def test_a_conflict_beside_nothing_that_is_stored_is_one_with_what_is_there(
    url: str, open_backend: Callable[[str], PostgresBackend]
) -> None:
    mine, other = open_backend(url), open_backend(url)
    mine.write([one("a/1")])
    other.write([one("a/1", 1)])
    assert positions(mine.write([one("a/1", 2)])) == [3]
    assert positions(mine.write([one("a/1", 2)])) == [ConflictError]


@pytest.mark.usefixtures("always")
def test_a_stream_that_another_writer_made_meanwhile_is_found(
    url: str, open_backend: Callable[[str], PostgresBackend]
) -> None:
    mine, other = open_backend(url), open_backend(url)
    mine.write([one("a/1")])
    mine.write([one("b/1", 1), one("c/1", 0)])
    other.write([one("b/1", 0)])
    # Its number is the one that a new stream would have had, and its version is read too late.
    assert positions(mine.write([one("d/1", 0), one("b/1", 0), one("b/1", 1)])) == [
        4,
        ConflictError,
        5,
    ]
    assert positions(mine.write([one("c/1", 1), one("e/1", 1), one("f/1", 0)])) == [
        6,
        ConflictError,
        7,
    ]
    assert audit_postgres(url) == 7


@pytest.mark.slow
@pytest.mark.usefixtures("always")
@pytest.mark.parametrize("isolation", ["read committed", "serializable"])
def test_writers_that_plan_on_each_other_s_heads_leave_one_gapless_log(
    url: str,
    open_backend: Callable[[str], PostgresBackend],
    isolation: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    setting = isolation.replace(" ", "%5C%20")
    given = f"{url}%20-cdefault_transaction_isolation%3D{setting}"
    writers = [open_backend(given) for _ in range(3)]
    failed: list[object] = []

    def write(backend: PostgresBackend) -> None:
        for number in range(15):
            new = one(f"new/{number}.{get_ident()}", 0)
            outcomes = backend.write([one(f"a/{number % 3}"), one("a/0"), new])
            failed.extend(done for done in outcomes if not isinstance(done, Appended))

    threads = [Thread(target=write, args=(backend,)) for backend in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    # No constraint of the tables had to refuse what was planned on a head that had moved.
    assert "several statements" not in caplog.text
    assert audit_postgres(url) == 3 * 15 * 3


@pytest.mark.anyio
@pytest.mark.parametrize("commits", [True, False])
async def test_a_statement_that_waited_for_another_transaction_knows_how_that_one_ended(
    postgres: Server, url: str, open_backend: Callable[[str], PostgresBackend], commits: bool
) -> None:
    backend = open_backend(url)
    backend.write([one("a/1")])
    other = open_backend(url).user_transaction(batch=False)
    other.begin()
    other.append(one("a/1", 1))

    async def waits() -> bool:
        found = (
            "SELECT 1 FROM pg_locks WHERE NOT granted AND locktype IN ('transactionid', 'tuple')"
        )
        return bool(await anyio.to_thread.run_sync(postgres.execute, found))

    async with anyio.create_task_group() as tasks:
        outcomes: list[Any] = []

        async def append() -> None:
            group = [one("a/1", 2 if commits else 1)]
            outcomes.extend(await anyio.to_thread.run_sync(backend.write, group))

        tasks.start_soon(append)
        await eventually(waits)
        await anyio.to_thread.run_sync(other.commit if commits else other.rollback)
    other.close()
    assert positions(outcomes) == [3 if commits else 2]
    assert audit_postgres(url) == 2 + commits


@pytest.mark.promise("durable")
@pytest.mark.usefixtures("always")
@pytest.mark.anyio
async def test_an_answer_that_was_lost_is_found_by_the_ids(proxy: Proxy, url: str) -> None:
    async with EventStore.open(proxy.url(url), notify="none") as store:
        await store.append("a/1", some(1))
        for number in range(4):
            by_server = number % 2 == 0
            word, sender = (b"COMMITTED", "server") if by_server else (b"Happened", "client")
            fired = proxy.when(word, proxy.cut, sender=sender)  # type: ignore[arg-type]
            assert (await store.append("a/1", some(1))).duplicate == by_server
            assert fired.is_set()
            await store.append("a/1", some(1))
    assert audit_postgres(url) == 9


@pytest.mark.parametrize("copy", [True, False])
def test_nothing_is_stored_in_another_copy_of_the_log(
    url: str, open_backend: Callable[[str], PostgresBackend], copy: bool
) -> None:
    if copy:
        open_backend(url).renew_incarnation()
    mine = open_backend(url)
    for _ in range(2):
        mine.write([one("a/1")])
    open_backend(url).renew_incarnation()
    for _ in range(2):
        with pytest.raises(LogReplacedError):
            mine.write([one("a/1")])
    assert audit_postgres(url) == 2


def test_a_newer_schema_is_left_alone(
    url: str, open_backend: Callable[[str], PostgresBackend]
) -> None:
    backend = open_backend(url)
    backend.write([one("a/1")])
    with psycopg.connect(url) as raw:
        raw.execute("UPDATE head SET schema_version = 99")
    with pytest.raises(StorageError, match="upgrade the program"):
        backend.write([one("a/1")])
    assert audit_postgres(url) == 1


@pytest.mark.parametrize("opened", [True, False])
def test_tables_with_another_column_are_written_by_the_names_of_theirs(
    url: str, open_backend: Callable[[str], PostgresBackend], opened: bool
) -> None:
    backend = open_backend(url)
    for _ in range(1 + opened):
        backend.write([one("a/1")])
    with psycopg.connect(url) as raw:
        raw.execute("ALTER TABLE event ADD COLUMN note text")
    for _ in range(2):
        assert isinstance(backend.write([one("a/1")])[0], Appended)
    assert audit_postgres(url) == 3 + opened


def test_content_of_every_kind_is_the_same_by_one_statement(
    url: str, open_backend: Callable[[str], PostgresBackend]
) -> None:
    backend = open_backend(url)
    backend.write([one("ä/☃")])
    new = [
        NewEvent("Ünï ☃", {"a": [None, 1.5, "\U0001f600", "%s ' \\ {}"]}, metadata={"b": 2**53}),
        NewEvent("B", b"\x00\xff" * 300),
        NewEvent("N", None),
    ]
    backend.write([one("ä/☃", 1, new)])
    found = [stored.event for stored in backend.stored(1, 10)]
    assert [(e.stream, e.type, e.data, e.metadata, e.id) for e in found] == [
        ("ä/☃", e.type, e.data, e.metadata, e.id) for e in new
    ]
    assert audit_postgres(url) == 4
