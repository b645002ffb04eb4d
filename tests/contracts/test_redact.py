"""Redaction: content goes for good, and the log says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import anyio
import pytest
from support.logs import some
from support.tamper import superuser
from support.waiting import DEADLINE, collect

from eventstore import EventStore, InvalidInputError, NewEvent

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio


def holds(path: Path, mark: bytes) -> bool:
    """Whether the database's file or its WAL holds these bytes anywhere."""
    files = path, path.with_name(path.name + "-wal")
    return any(mark in file.read_bytes() for file in files if file.exists())


@pytest.mark.promise("redaction")
async def test_content_goes_and_an_event_says_so(store: EventStore, start: int) -> None:
    await store.append("a/1", [NewEvent("Said", "secret", metadata={"by": "ana"}), *some(1)])
    done = await store.redact(start + 1, "a request", by="eve")
    assert (done.position - start, done.version, done.duplicate) == (3, 1, False)
    erased, other, told = await collect(store.read(after=start))
    assert (erased.redacted, erased.data, erased.metadata) == (True, None, {})
    assert (erased.stream, erased.version, erased.type) == ("a/1", 1, "Said")
    assert (other.redacted, other.data) == (False, 0)
    assert (told.stream, told.type) == ("log/redactions", "EventRedacted")
    assert told.data == {
        "position": start + 1,
        "stream": "a/1",
        "version": 1,
        "type": "Said",
        "reason": "a request",
        "by": "eve",
    }
    assert (await store.verify()).findings == ()


async def test_it_is_done_once_however_often_it_is_asked_for(store: EventStore, start: int) -> None:
    await store.append("a/1", some(2))
    first = await store.redact(start + 1, "one reason")
    again = await store.redact(start + 1, "another reason", by="eve")
    assert (again.position - start, again.cursor, again.duplicate) == (3, first.cursor, True)
    assert (await store.head()).position == start + 3


@pytest.mark.promise("redaction")
async def test_it_is_done_once_by_many_at_the_same_time(store: EventStore, start: int) -> None:
    await store.append("a/1", some(3))
    done = []

    async def redact() -> None:
        done.append(await store.redact(start + 2, "many want it"))

    async with anyio.create_task_group() as tasks:
        for _ in range(20):
            tasks.start_soon(redact)
    assert sorted(result.duplicate for result in done) == [False] + [True] * 19
    assert {result.position for result in done} == {start + 4}


@pytest.mark.parametrize("position", [0, -1, 3, 2**63, True, "1"])
async def test_a_position_without_an_event_is_refused(
    store: EventStore, position: int, start: int
) -> None:
    await store.append("a/1", some(2))
    with pytest.raises(InvalidInputError):
        await store.redact(position, "no such thing")
    assert (await store.head()).position == start + 2


@pytest.mark.parametrize("reason", ["", "  ", "a\0b", None])
@pytest.mark.any_past
async def test_a_reason_is_needed(store: EventStore, reason: str) -> None:
    await store.append("a/1", some(1))
    with pytest.raises(InvalidInputError):
        await store.redact(1, reason)
    assert not (await collect(store.read()))[0].redacted


async def test_what_the_log_says_about_itself_stays(store: EventStore, start: int) -> None:
    await store.append("a/1", some(1))
    await store.redact(start + 1, "a request")
    with pytest.raises(InvalidInputError):
        await store.redact(start + 2, "to hide it")
    with pytest.raises(InvalidInputError):
        await store.append("log/redactions", [NewEvent("EventRedacted", {"position": start + 2})])


async def test_an_event_that_took_the_id_beforehand_hinders_nothing(
    store: EventStore, start: int
) -> None:
    await store.append("a/1", [*some(1), NewEvent("Sly", 1, id=f"redacted:{start + 1}")])
    done = await store.redact(start + 1, "a request")
    assert (done.position - start, done.duplicate) == (3, False)
    assert (await collect(store.read(after=start)))[0].redacted


async def test_followers_are_told(store: EventStore, start: int) -> None:
    await store.append("a/1", some(1))
    async with store.subscribe_changes(after=start + 1) as changes:
        await store.redact(start + 1, "a request")
        with anyio.fail_after(DEADLINE):
            assert (await anext(changes)).data["position"] == start + 1


async def test_the_same_event_appended_again_does_not_come_back(
    store: EventStore, start: int
) -> None:
    event = NewEvent("Said", "secret")
    await store.append("a/1", [event])
    await store.redact(start + 1, "a request")
    assert (await store.append("a/1", [event])).duplicate
    assert (await collect(store.read(after=start)))[0].redacted


async def test_what_was_kept_of_a_trimmed_beginning_is_erased_too(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(3))
    columns = (
        "position, stream_id, version, id, type, commit_position, content, data, metadata, "
        "recorded_us, salt, digest, hash"
    )
    with superuser(lasting_url) as user:
        user.run(
            f"INSERT INTO kept ({columns}, previous) SELECT {columns}, "
            "(SELECT hash FROM event WHERE position = 1) FROM event WHERE position = 2"
        )
        user.run(
            "UPDATE head SET first_position = 3, "
            "base_hash = (SELECT hash FROM event WHERE position = 2)"
        )
        user.run("DELETE FROM event WHERE position < 3")
    async with EventStore.open(lasting_url) as store:
        assert (await store.redact(2, "a request")).position == 4
        assert (await store.redact(2, "a request")).duplicate
        with pytest.raises(InvalidInputError):
            await store.redact(1, "it is gone already")
        assert (await store.verify()).findings == ()
    with superuser(lasting_url) as user:
        assert user.run("SELECT data, metadata, salt FROM kept") == [(None, None, None)]


@pytest.mark.promise("redaction")
@pytest.mark.parametrize("size", [10, 900, 5_000, 200_000])
async def test_the_bytes_go_from_the_file_and_from_its_wal(tmp_path: Path, size: int) -> None:
    path = tmp_path / "events.db"

    def marks(number: int) -> bool:
        return holds(path, f"MARK{number:04}!".encode())

    def event(number: int) -> NewEvent:
        mark = f"MARK{number:04}!"
        return NewEvent("Said", mark + "x" * size + mark, metadata={"also": mark})

    async with EventStore.open(f"sqlite:///{path}") as store:
        for start in range(1, 31, 10):
            await store.append("a/1", [event(start + index) for index in range(10)])
        assert all(marks(number) for number in range(1, 31))
        for number in range(1, 31, 3):
            await store.redact(number, "a request")
            assert not marks(number)
        assert [number for number in range(1, 31) if marks(number)] == [
            number for number in range(1, 31) if number % 3 != 1
        ]
        assert (await store.verify()).findings == ()


@pytest.mark.promise("redaction")
async def test_a_reader_of_an_older_snapshot_delays_that_until_it_has_gone(tmp_path: Path) -> None:
    import sqlite3
    from contextlib import closing

    path = tmp_path / "events.db"
    async with EventStore.open(f"sqlite:///{path}") as store:
        await store.append("a/1", [NewEvent("Said", "MARK")])
        with closing(sqlite3.connect(path, isolation_level=None)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM event").fetchone()
            await store.redact(1, "a request")
            assert (await collect(store.read()))[0].redacted
            assert holds(path, b"MARK")
            reader.execute("ROLLBACK")
        await store.append("a/1", some(1))
        assert not holds(path, b"MARK")
