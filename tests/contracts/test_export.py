"""A log moved as a whole: from every backend to every backend, all of it or nothing."""

from __future__ import annotations

import io
from hashlib import sha256
from typing import TYPE_CHECKING

import msgspec
import pytest
from support.exports import chunks, export, imported, joined, small_export
from support.logs import LASTING, some
from support.moving import ALL, fill, fresh, redact, rows
from support.waiting import collect, take

from eventstore import EventStore
from eventstore.errors import HistoryDivergedError, NotEmptyError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from eventstore import Event

pytestmark = pytest.mark.anyio


async def make_log(url: str, directory: Path, *, trimmed: bool) -> None:
    """Make a log with all that an export has to carry."""
    async with EventStore.open(url) as store:
        await store.append("gone/1", some(1))
        await fill(store)
        if trimmed:
            await store.trim(20, keep=every_fifth, archive=directory / "archive", force=True)
    redact(url, 22)


def every_fifth(events: Iterable[Event]) -> list[int]:
    return [event.position for event in events][::5]


@pytest.mark.promise("moving")
@pytest.mark.parametrize("trimmed", [False, True], ids=["whole", "trimmed"])
@pytest.mark.parametrize("target", LASTING)
@pytest.mark.parametrize("source", LASTING)
async def test_an_imported_log_is_the_exported_one_row_by_row(
    tmp_path: Path, source: str, target: str, trimmed: bool
) -> None:
    here, there = fresh(source, tmp_path, "from"), fresh(target, tmp_path, "to")
    await make_log(here, tmp_path, trimmed=trimmed)
    async with EventStore.open(here) as store:
        content = await export(store)
    await imported(there, content)
    before = rows(here)
    assert [len(before[table]) > 0 for table in before] == [True, True, True, True, trimmed]
    assert rows(there) == before
    async with EventStore.open(there) as store:
        assert await export(store) == content


@pytest.mark.parametrize("target", ALL)
@pytest.mark.parametrize("source", ALL)
async def test_an_imported_log_reads_and_goes_on_as_the_exported_one(
    tmp_path: Path, source: str, target: str
) -> None:
    here, there = fresh(source, tmp_path, "from"), fresh(target, tmp_path, "to")
    async with EventStore.open(here) as old, EventStore.open(there) as new:
        await fill(old)
        await new.import_from(io.BytesIO(await export(old)))
        assert await collect(new.read()) == await collect(old.read())
        assert await new.head() == await old.head()
        assert await new.consumers() == await old.consumers()
        follower = new.subscribe_changes(consumer="behind", follow=False)
        assert (await take(follower, 1))[0].position == 7
        await follower.aclose()
        done = await new.append("order/17", some(1), expected=12)
        assert done.position == (await old.head()).position + 1


@pytest.mark.promise("moving")
async def test_a_follower_goes_on_in_the_copy_and_notices_one_that_grew_otherwise(
    tmp_path: Path, lasting_url: str
) -> None:
    async with EventStore.open(lasting_url) as old:
        await old.append("a/1", some(80))
        content = await export(old)
        await old.append("a/1", some(15))
        cursor, at_80 = (await old.head()).cursor, (await collect(old.read(after=79)))[0]
    there = fresh("sqlite", tmp_path, "to")
    async with EventStore.open(there) as new:
        await new.import_from(io.BytesIO(content))
        with pytest.raises(HistoryDivergedError):
            await collect(new.read(after=cursor))
        await new.append("b/1", some(25))
        with pytest.raises(HistoryDivergedError):
            await take(new.subscribe_changes(after=cursor), 1)
        good = msgspec.structs.replace(cursor, position=80, hash=at_80.hash)
        assert [e.stream for e in await collect(new.read(after=good))] == ["b/1"] * 25


async def test_an_empty_log_can_be_moved(lasting_url: str, tmp_path: Path) -> None:
    async with EventStore.open("memory://") as old:
        content, head = await export(old), await old.head()
    async with EventStore.open(lasting_url) as new:
        await new.import_from(io.BytesIO(content))
        assert await new.head() == head
        assert (await new.append("a/1", some(1))).position == 1


@pytest.mark.parametrize("what", ["events", "consumers"])
async def test_a_log_that_is_not_empty_is_refused(lasting_url: str, what: str) -> None:
    async with EventStore.open("memory://") as old:
        await fill(old)
        content = await export(old)
    async with EventStore.open(lasting_url) as store:
        if what == "events":
            await store.append("a/1", some(3))
        else:
            async with store.subscribe_changes(consumer="w"):
                pass
    before = rows(lasting_url)
    with pytest.raises(NotEmptyError) as caught:
        await imported(lasting_url, content)
    assert what in str(caught.value) or "position 3" in str(caught.value)
    assert rows(lasting_url) == before


async def test_the_file_is_what_its_description_says() -> None:
    content = await small_export()
    magic, found, checksum = chunks(content)
    assert magic == content[:16]
    assert checksum == sha256(content[:-32]).digest()
    (records,) = found
    kinds = [record[0] for record in records]
    assert kinds == ["log"] + ["stream"] * 6 + ["event"] * 36 + ["consumer"] * 2 + ["end"]
    assert records[-1] == ["end", 6, 0, 36, 2]
    assert joined(*found)[-32:] != b""


async def test_a_large_log_travels_in_many_chunks(tmp_path: Path, lasting_url: str) -> None:
    async with EventStore.open("memory://") as old:
        for number in range(6):
            await old.append(f"a/{number}", some(500))
        await old.append("big/1", [*some(1), *some(1)])
        content = await export(old)
        assert len(chunks(content)[1]) > 2
        async with EventStore.open(lasting_url) as new:
            told: list[tuple[int, int]] = []
            await new.import_from(
                io.BytesIO(content), progress=lambda done, total: told.append((done, total))
            )
            assert await collect(new.read()) == await collect(old.read())
    assert told[-1] == (3002, 3002)
    assert told == sorted(told)


async def test_writers_go_on_during_an_export_and_are_not_in_it(lasting_url: str) -> None:
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(2500))
        before = await store.head()
        file = io.BytesIO()

        def write(done: int, total: int) -> None:
            from anyio import from_thread

            from_thread.run(store.append, "a/1", some(1))
            from_thread.run(store.append, f"new/{done}", some(1))

        moved = await store.export(file, progress=write)
        assert moved.position == before.position < (await store.head()).position
    async with EventStore.open("memory://") as copy:
        await copy.import_from(io.BytesIO(file.getvalue()))
        assert await copy.head() == before
        done = await copy.append("a/1", some(1), expected=2500)
        assert done.position == 2501


async def test_an_export_that_is_there_is_not_overwritten_unasked(
    store: EventStore, tmp_path: Path
) -> None:
    file = tmp_path / "log.export"
    await store.append("a/1", some(3))
    await store.export(file)
    first = file.read_bytes()
    await store.append("a/1", some(3))
    with pytest.raises(NotEmptyError):
        await store.export(file)
    assert file.read_bytes() == first
    await store.export(file, replace=True)
    assert file.read_bytes() != first


async def test_an_interrupted_export_leaves_what_was_there(
    store: EventStore, tmp_path: Path
) -> None:
    file = tmp_path / "log.export"
    await store.append("a/1", some(3))

    def fail(done: int, total: int) -> None:
        raise KeyError("enough")

    with pytest.raises(KeyError):
        await store.export(file, progress=fail)
    assert [path.name for path in tmp_path.iterdir() if "export" in path.name] == []


async def test_a_file_that_is_not_there_is_a_typed_error(store: EventStore, tmp_path: Path) -> None:
    with pytest.raises(StorageError):
        await store.import_from(tmp_path / "missing")
    with pytest.raises(StorageError):
        await store.export(tmp_path / "no" / "such" / "place")
