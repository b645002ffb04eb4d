"""A file that is not what it should be: a typed error that says where, and nothing broken."""

from __future__ import annotations

import sqlite3
import tempfile
from pathlib import Path

import anyio
import pytest
from support.audit import ROWS, audit, check_chain
from support.logs import positions, some
from support.open_files import open_files
from support.processes import child
from support.refused import COLUMNS, REFUSED
from support.waiting import DEADLINE, collect, take

from eventstore import CorruptEventError, EventStore, StorageError
from eventstore.storage.sqlite.backend import SqliteBackend

pytestmark = pytest.mark.anyio

FORBIDDEN = [
    *REFUSED,
    "UPDATE event SET data = x'00'",
    "UPDATE event SET hash = x'00'",
    "INSERT OR REPLACE INTO event SELECT * FROM event WHERE position = 2",
    f"REPLACE INTO event SELECT position, stream_id, version, x'01', {COLUMNS}",
    "UPDATE OR REPLACE event SET position = 1 WHERE position = 2",
    f"INSERT INTO event SELECT 0, stream_id, 9, x'01', {COLUMNS} WHERE position = 1",
    "REPLACE INTO head SELECT one, 1, 'other', first_position, 0, 0, hash, NULL FROM head",
    f"REPLACE INTO event SELECT position + 3, stream_id, version, id, {COLUMNS}",
    f"REPLACE INTO event SELECT position + 3, stream_id, version + 9, id, {COLUMNS}",
    "REPLACE INTO stream SELECT id, 'x' || name, version FROM stream",
]


@pytest.fixture
def written(path: Path, url: str) -> Path:
    """Give a closed log of three events."""

    async def write() -> None:
        async with EventStore.open(url) as store:
            await store.append("a/1", some(2))
            await store.append("b/1", some(1))

    anyio.run(write)
    return path


def put(path: Path, content: bytes) -> None:
    """Put a strange file where the log should be."""
    path.write_bytes(content)


def run(path: Path, *statements: str) -> None:
    """Execute statements as a stranger with plain SQLite would."""
    connection = sqlite3.connect(path)
    try:
        for statement in statements:
            connection.execute(statement)
        connection.commit()
    finally:
        connection.close()


async def refused(url: str) -> str:
    """Return the message with which opening fails."""
    with pytest.raises(StorageError) as caught:
        async with EventStore.open(url, notify="none"):
            pass
    assert caught.value.__cause__ is not None or "version" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("content", [b"hello, world " * 500, b"SQLite format 3\0" + b"x" * 5000])
async def test_a_file_that_is_no_database_is_refused(path: Path, url: str, content: bytes) -> None:
    put(path, content)
    assert str(path) in await refused(url)
    assert await anyio.Path(path).read_bytes() == content


async def test_a_directory_that_is_missing_is_named(tmp_path: Path) -> None:
    assert f"{tmp_path}/no/such/e.db" in await refused(f"sqlite:///{tmp_path}/no/such/e.db")


async def test_a_directory_in_place_of_the_file_is_refused(path: Path, url: str) -> None:
    await anyio.Path(path).mkdir()
    assert str(path) in await refused(url)


async def test_another_program_s_database_is_refused(path: Path, url: str) -> None:
    run(path, "CREATE TABLE head (something TEXT)")
    assert str(path) in await refused(url)


async def test_a_newer_schema_is_refused(written: Path, url: str) -> None:
    run(written, "UPDATE head SET schema_version = 99")
    assert "upgrade" in await refused(url)


def test_a_read_only_place_is_refused_with_a_typed_error() -> None:
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "e.db").touch(0o444)
        directory.chmod(0o555)
        with child("unprivileged_opener", f"sqlite:///{directory}/e.db") as process:
            output, _ = process.communicate(timeout=DEADLINE)
        directory.chmod(0o755)
    assert output == "refused True\n"


async def test_a_failing_open_leaves_no_file_descriptor_behind(path: Path, url: str) -> None:
    put(path, b"no database " * 500)
    await refused(url)
    before = len(open_files())
    for _ in range(5):
        await refused(url)
    assert len(open_files()) <= before


async def test_an_open_and_closed_store_leaves_no_file_descriptor_behind(url: str) -> None:
    counts = []
    for _ in range(4):
        async with EventStore.open(url) as store:
            await store.append("a/1", some(1))
            await collect(store.read())
        counts.append(sum(url[10:] in name for name in open_files().values()))
    assert counts == [0, 0, 0, 0]


@pytest.mark.promise("immutable")
@pytest.mark.parametrize("statement", FORBIDDEN, ids=range(len(FORBIDDEN)))
def test_the_database_refuses_to_change_what_happened(written: Path, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        run(written, statement)
    assert audit(written) == 3


@pytest.mark.promise("immutable")
async def test_redaction_keeps_the_chain_whole(written: Path, url: str) -> None:
    run(written, "UPDATE event SET data = NULL, metadata = NULL, salt = NULL WHERE position = 2")
    assert audit(written) == 3
    async with EventStore.open(url) as store:
        events = await collect(store.read())
        assert [(event.redacted, event.data) for event in events] == [
            (False, 0), (True, None), (False, 0),
        ]  # fmt: skip
        assert events[1].metadata == {}
        assert (await store.append("a/1", some(1))).position == 4


async def test_trimming_is_told_and_the_rest_is_readable(written: Path, url: str) -> None:
    run(written, "UPDATE head SET first_position = 3", "DELETE FROM event WHERE position < 3")
    async with EventStore.open(url) as store:
        assert positions(await collect(store.read(after=2))) == [3]
        assert (await store.append("a/1", some(1))).version == 3


async def test_a_consumer_behind_which_the_log_was_trimmed_goes_on(path: Path, url: str) -> None:
    async with EventStore.open(url) as store:
        await store.append("a/1", some(5))
        async with store.subscribe_changes(consumer="w") as subscription:
            await take(subscription, 4)
    run(path, "UPDATE head SET first_position = 3", "DELETE FROM event WHERE position < 3")
    async with EventStore.open(url) as store, store.subscribe_changes(consumer="w") as subscription:
        assert positions(await take(subscription, 2)) == [4, 5]


@pytest.mark.promise("immutable")
def test_the_chain_is_what_its_description_says(written: Path) -> None:
    connection = sqlite3.connect(written)
    rows = connection.execute(ROWS).fetchall()
    log_id, digest = connection.execute("SELECT log_id, hash FROM head").fetchone()
    connection.close()
    assert check_chain(rows, log_id) == digest
    swapped = [rows[0][:7] + rows[1][7:9] + rows[0][9:], *rows[1:]]
    with pytest.raises(AssertionError):
        check_chain(swapped, log_id)


@pytest.mark.promise("bad-input")
async def test_stored_text_that_is_no_json_says_which_event(written: Path, url: str) -> None:
    run(written, "DROP TRIGGER event_immutable", "UPDATE event SET data = x'7b' WHERE position = 2")
    async with EventStore.open(url) as store:
        events = await collect(store.read())
        with pytest.raises(CorruptEventError) as caught:
            _ = events[1].data
    assert caught.value.position == 2


@pytest.mark.promise("durable")
async def test_a_full_disk_is_a_typed_error_and_the_store_goes_on(path: Path, url: str) -> None:
    async with EventStore.open(url) as store:
        await store.append("a/1", some(1))
        backend = store._backend
        assert isinstance(backend, SqliteBackend)
        writer = backend._writer
        assert writer is not None
        writer.run(f"PRAGMA max_page_count = {writer.rows('PRAGMA page_count')[0][0]}")
        with pytest.raises(StorageError, match="full"):
            await store.append("a/1", some(5000))
        writer.run("PRAGMA max_page_count = 1000000")
        assert (await store.append("a/1", some(1))).position == 2
    assert audit(path) == 2
