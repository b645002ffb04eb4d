"""Trimmed history: archived, cut at commits, held by consumers, and never gone in silence."""

from __future__ import annotations

import io
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest
from support.logs import data, positions, some
from support.moving import rows
from support.waiting import collect, take

from eventstore import Cursor, EventStore, NewEvent, StreamWrite
from eventstore.errors import (
    ConflictError,
    HistoryDivergedError,
    HistoryGoneError,
    HistoryHeldError,
    InvalidInputError,
    NotEmptyError,
)
from eventstore.testing import START_US, FakeClock

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from eventstore import Event
    from eventstore.archive.trim import Trimmed

pytestmark = pytest.mark.anyio


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Name an archive that is not there yet."""
    return tmp_path / "archive.export"


async def fill(store: EventStore, commits: int = 10) -> None:
    """Append so many commits of three events each, the last of two streams."""
    for number in range(commits):
        await store.append_many([StreamWrite("a/1", some(2)), StreamWrite(f"b/{number}", some(1))])


async def trim(store: EventStore, before: int, archive: Path, **rest: object) -> Trimmed:
    return await store.trim(before, archive=archive, **rest)  # type: ignore[arg-type]


@pytest.mark.from_one
async def test_what_is_trimmed_is_gone_and_the_rest_stays(store: EventStore, archive: Path) -> None:
    await fill(store)
    before = await collect(store.read())
    trimmed = await trim(store, 13, archive, reason="old", by="ana")
    assert (trimmed.first_position, trimmed.events) == (13, 12)
    after = await collect(store.read(after=12))
    assert after[:-1] == before[12:]
    notice = after[-1]
    assert (notice.stream, notice.type) == ("log/trims", "HistoryTrimmed")
    assert notice.data == {
        "first_position": 13,
        "hash": before[11].hash.hex(),
        "events": 12,
        "kept": 0,
        "kept_sha256": sha256(b"").hexdigest(),
        "views": ["directory", "journal", "memories", "registry", "rules", "sql"],
        "archive": archive.name,
        "archive_sha256": sha256(archive.read_bytes()).hexdigest(),
        "reason": "old",
        "by": "ana",
    }
    head = await store.head()
    assert (head.first_position, head.base_hash) == (13, before[11].hash)


@pytest.mark.parametrize(("before", "first"), [(1, 1), (3, 1), (4, 4), (5, 4), (99, 31)])
@pytest.mark.from_one
async def test_the_cut_is_where_a_commit_ends(
    store: EventStore, archive: Path, before: int, first: int
) -> None:
    await fill(store)
    assert (await trim(store, before, archive)).first_position == first
    assert (await store.head()).first_position == first
    assert archive.exists() == (first > 1)
    assert (await store.head()).position == (31 if first > 1 else 30)


async def test_a_time_is_a_place_to_cut_as_well(
    store: EventStore, clock: FakeClock, archive: Path, start: int
) -> None:
    for _ in range(5):
        await store.append("a/1", some(2))
        clock.now_us += 60_000_000
    began = datetime.fromtimestamp(START_US / 1e6, UTC)
    trimmed = await store.trim(began + timedelta(minutes=3), archive=archive)
    assert trimmed.first_position == start + 7
    with pytest.raises(InvalidInputError):
        await store.trim(datetime(2030, 1, 1))  # noqa: DTZ001 - what is refused


@pytest.mark.parametrize("before", [0, -1, True, "5", 2.5, None])
@pytest.mark.any_past
async def test_what_is_no_place_to_cut_is_refused(store: EventStore, before: object) -> None:
    with pytest.raises(InvalidInputError):
        await store.trim(before)  # type: ignore[arg-type]


@pytest.mark.promise("moving")
@pytest.mark.from_one
async def test_the_archive_is_the_log_as_it_was_there(store: EventStore, archive: Path) -> None:
    await fill(store)
    before = await collect(store.read())
    await trim(store, 13, archive)
    async with EventStore.open("memory://") as old:
        await old.import_from(archive)
        assert await collect(old.read()) == before[:12]
        assert (await old.head()).log_id == (await store.head()).log_id
        # A follower of the archive goes on in the log itself.
        cursor = (await old.head()).cursor
        assert (await collect(store.read(after=cursor)))[:18] == before[12:]
        # Versions are those of that time, and no stream is there before its first event.
        assert (await old.append("a/1", some(1), expected=8)).version == 9
        assert (await old.append("b/9", some(1), expected=0)).version == 1


async def test_an_archive_s_name_that_is_taken_is_refused(
    store: EventStore, archive: Path, start: int
) -> None:
    await fill(store)
    first = (await store.head()).first_position
    archive.write_bytes(b"somebody's")
    with pytest.raises(NotEmptyError):
        await trim(store, start + 13, archive)
    assert archive.read_bytes() == b"somebody's"
    assert (await store.head()).first_position == first


@pytest.mark.from_one
async def test_without_a_name_the_archive_lies_beside_the_file(
    url: str, store: EventStore, tmp_path: Path
) -> None:
    await fill(store)
    if not url.startswith("sqlite"):
        with pytest.raises(InvalidInputError, match="archive"):
            await store.trim(13)
        return
    trimmed = await store.trim(13)
    assert trimmed.archive == str(tmp_path / "events.db.1-12.export")
    again = await store.trim(16)
    assert again.archive == str(tmp_path / "events.db.13-15.export")


@pytest.mark.promise("moving")
async def test_readers_below_it_are_told_where_to_start(store: EventStore, archive: Path) -> None:
    await fill(store)
    early = (await take(store.subscribe_changes(), 3))[-1]
    cursor = Cursor((await store.head()).log_id, 3, early.hash)
    waiting = store.subscribe_changes(after=cursor)
    await trim(store, 13, archive)
    for reader in (
        store.read(after=0),
        store.read(after=11),
        store.read(after=cursor),
        store.read(after=0, backwards=True),
        store.subscribe_changes(after=0),
        store.subscribe_changes(after=11),
        waiting,
    ):
        with pytest.raises(HistoryGoneError) as caught:
            await take(reader, 1)
        assert caught.value.first_position == 13
        assert "after=12" in str(caught.value)
    assert positions(await take(store.read(after=12), 1)) == [13]


async def test_streams_that_lost_their_events_keep_their_versions(
    store: EventStore, archive: Path, start: int
) -> None:
    await fill(store)
    await trim(store, start + 13, archive)
    assert await collect(store.read_stream("b/0")) == []
    with pytest.raises(ConflictError) as caught:
        await store.append("b/0", some(1), expected=0)
    assert caught.value.actual == 1
    assert (await store.append("b/0", some(1), expected=1)).version == 2
    assert [e.version for e in await take(store.read_stream("a/1"), 2)] == [9, 10]


async def test_an_id_that_was_trimmed_is_forgotten(
    store: EventStore, archive: Path, start: int
) -> None:
    once = NewEvent("T", 1, id="once")
    await store.append("a/1", [once])
    await fill(store)
    await trim(store, start + 8, archive)
    assert not (await store.append("a/1", [once])).duplicate


@pytest.mark.promise("moving")
async def test_the_slowest_consumer_holds_history(
    store: EventStore, archive: Path, start: int
) -> None:
    await fill(store)
    first = (await store.head()).first_position
    for name, count in (("slow", 4), ("fast", 20)):
        async with store.subscribe_changes(after=start, consumer=name, follow=False) as changes:
            await take(changes, count + 1)
    with pytest.raises(HistoryHeldError) as caught:
        await trim(store, start + 13, archive)
    assert (caught.value.consumer, caught.value.position) == ("slow", start + 4)
    assert not archive.exists()
    assert (await store.head()).first_position == first
    assert (await trim(store, start + 5, archive)).first_position == start + 4
    forced = await trim(store, start + 13, archive.with_suffix(".2"), force=True)
    assert forced.first_position == start + 13


async def test_a_consumer_that_was_passed_over_is_told_and_can_be_moved_on(
    store: EventStore, archive: Path, start: int
) -> None:
    await fill(store)
    async with store.subscribe_changes(after=start, consumer="slow", follow=False) as changes:
        await take(changes, 5)
    await trim(store, start + 13, archive, force=True)
    with pytest.raises(HistoryGoneError):
        await take(store.subscribe_changes(after=start, consumer="slow"), 1)
    assert (await store.skip_gone("slow")).position == start + 12
    assert positions(
        await take(store.subscribe_changes(after=start, consumer="slow"), 2), start
    ) == [13, 14]
    # One that is not behind stays where it is.
    async with store.subscribe_changes(after=start, consumer="slow", follow=False) as changes:
        await take(changes, 3)
    assert (await store.skip_gone("slow")).position > start + 12


def every_fourth(events: Iterable[Event]) -> list[int]:
    return [event.position for event in events if event.position % 4 == 0]


@pytest.mark.from_one
async def test_what_is_kept_is_read_where_it_is_asked_for(store: EventStore, archive: Path) -> None:
    await fill(store)
    before = await collect(store.read())
    assert (await trim(store, 13, archive, keep=every_fourth)).kept == 3
    expected = [before[p - 1] for p in (4, 8, 12, *range(13, 31))]
    assert (await collect(store.read(kept=True)))[:-1] == expected
    assert (await collect(store.read(after=5, kept=True)))[:-1] == expected[1:]
    assert positions(await collect(store.read(until=12, kept=True))) == [4, 8, 12]
    assert positions(await collect(store.read(until=9, kept=True))) == [4, 8]
    assert positions(await collect(store.read(streams="a/", kept=True)))[:4] == [4, 8, 13, 14]
    assert positions(await collect(store.read(streams="b/3", kept=True))) == [12]
    assert positions(await collect(store.read(types={"Nothing"}, kept=True))) == []
    assert positions(await collect(store.read(kept=True, limit=2))) == [4, 8]
    cursor = Cursor((await store.head()).log_id, 5, before[4].hash)
    follower = store.subscribe_changes(after=cursor, kept=True)
    assert positions(await take(follower, 4)) == [8, 12, 13, 14]
    commits = await take(store.subscribe_changes(kept=True).commits(), 4)
    assert [(at.position, positions(events)) for at, events in commits] == [
        (6, [4]), (9, [8]), (12, [12]), (15, [13, 14, 15]),
    ]  # fmt: skip


@pytest.mark.from_one
async def test_a_second_trim_keeps_of_what_the_first_one_kept(
    store: EventStore, tmp_path: Path
) -> None:
    await fill(store)
    await trim(store, 13, tmp_path / "one", keep=every_fourth)
    seen: list[int] = []

    def keep_late(events: Iterable[Event]) -> list[int]:
        seen.extend(event.position for event in events)
        return [8, 20]

    await trim(store, 22, tmp_path / "two", keep=keep_late)
    assert seen == [4, 8, 12, *range(13, 22)]
    assert positions(await collect(store.read(until=21, kept=True))) == [8, 20]
    # What the log says about itself is kept without being asked for.
    await fill(store, 1)
    await trim(store, 33, tmp_path / "three")
    assert [event.type for event in await collect(store.read(until=32, kept=True))] == [
        "HistoryTrimmed", "HistoryTrimmed",
    ]  # fmt: skip
    async with EventStore.open("memory://") as old:
        await old.import_from(tmp_path / "two")
        assert positions(await collect(old.read(kept=True))) == [4, 8, 12, *range(13, 22)]


async def test_a_log_of_which_everything_was_trimmed_goes_on(
    store: EventStore, archive: Path
) -> None:
    await fill(store)
    await trim(store, (await store.head()).position + 1, archive)
    assert await collect(store.read_stream("a/1")) == []
    assert [event.type for event in await collect(store.read())] == ["HistoryTrimmed"]
    assert (await store.append("a/1", some(1), expected=20)).version == 21
    assert (await store.verify()).ok
    file = io.BytesIO()
    await store.export(file)
    async with EventStore.open("memory://") as copy:
        await copy.import_from(io.BytesIO(file.getvalue()))
        assert await copy.head() == await store.head()


async def test_kept_events_carry_the_hash_before_them(
    lasting_url: str, archive: Path, clock: FakeClock
) -> None:
    async with EventStore.open(lasting_url) as store:
        await fill(store)
        hashes = {0: b"", **{e.position: e.hash for e in await collect(store.read())}}
        await trim(store, 13, archive, keep=lambda _: [1, 2, 9])
    kept = rows(lasting_url)["kept"]
    assert [(row[0], row[-1]) for row in kept[1:]] == [(2, hashes[1]), (9, hashes[8])]
    async with EventStore.open(lasting_url) as store:
        notice = [e async for e in store.read(after=12, streams="log/")][-1]
        covered = b"".join(p.to_bytes(8, "big") + hashes[p] for p in (1, 2, 9))
        assert notice.data["kept_sha256"] == sha256(covered).hexdigest()
        # The chain from before the first event on is checked by the import.
        file = io.BytesIO()
        await store.export(file)
    async with EventStore.open("memory://") as copy:
        await copy.import_from(io.BytesIO(file.getvalue()))
        assert positions(await collect(copy.read(kept=True)))[:4] == [1, 2, 9, 13]


async def test_appends_and_reads_go_on_during_a_trim(
    store: EventStore, archive: Path, start: int
) -> None:
    from anyio import from_thread

    for _ in range(3):
        await store.append("a/1", some(1000))

    def write(done: int, total: int) -> None:
        from_thread.run(store.append, "b/1", some(1))

    trimmed = await store.trim(start + 2001, archive=archive, progress=write)
    assert trimmed.first_position == start + 2001
    assert data(await take(store.read_stream("b/1"), 2)) == [0, 0]
    assert len(await collect(store.read(after=start + 2000, streams="a/"))) == 1000


async def test_a_log_that_was_trimmed_meanwhile_is_not_trimmed_twice(
    lasting_url: str, tmp_path: Path
) -> None:
    from anyio import from_thread

    async with EventStore.open(lasting_url) as one, EventStore.open(lasting_url) as two:
        await fill(one, 500)
        once = [True]

        def other(done: int, total: int) -> None:
            if once:
                once.clear()
                from_thread.run(lambda: two.trim(10, archive=tmp_path / "other"))

        with pytest.raises(HistoryGoneError, match="meanwhile"):
            await one.trim(1300, archive=tmp_path / "one", progress=other)
        assert (await one.head()).first_position == 10


async def test_a_cursor_at_the_cut_goes_on_and_a_wrong_one_is_noticed(
    store: EventStore, archive: Path
) -> None:
    await fill(store)
    last = (await collect(store.read(until=12)))[-1]
    await trim(store, 13, archive)
    log_id = (await store.head()).log_id
    good = Cursor(log_id, 12, last.hash)
    assert positions(await take(store.read(after=good), 1)) == [13]
    with pytest.raises(HistoryDivergedError):
        await take(store.read(after=Cursor(log_id, 12, b"\0" * 32)), 1)
    # One of another log has lost nothing to this trim, and is not advised to pass events over.
    for reader in (store.read, store.subscribe_changes):
        with pytest.raises(HistoryDivergedError, match="made by log other"):
            await take(reader(after=Cursor("other", 3, last.hash)), 1)
    async with store.subscribe_changes(after=good, consumer="w") as changes:
        assert (await take(changes, 1))[0].position == 13
