"""Values that no append stores, bound into the chain by a stranger: found wherever they are."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from support.exports import joined, taken_apart
from support.logs import some
from support.moving import fill, rows
from support.plain import dialect
from support.strange import NUL, STRANGE, bound, changed
from support.tamper import rewrite_column, superuser
from support.waiting import collect

from eventstore import ArchiveError, CorruptEventError, EventStore, NewEvent, StorageError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

EVERY = STRANGE | NUL


async def small_log(url: str) -> None:
    """Make a log whose last event is alone in its stream."""
    async with EventStore.open(url) as store:
        await store.append("b/1", some(2))
        await store.append("a/1", [NewEvent("Happened", 1, metadata={"by": "ana"})])


async def small_export() -> list[list[Any]]:
    async with EventStore.open("memory://") as store:
        await fill(store)
        await store.append("alone/1", [NewEvent("Happened", 1, metadata={"by": "ana"})])
        file = io.BytesIO()
        await store.export(file)
    return taken_apart(file.getvalue())


async def refused(url: str, records: list[list[Any]]) -> str:
    """Import what has to be refused; return why, having seen that nothing is there."""
    async with EventStore.open(url) as store:
        with pytest.raises(ArchiveError) as caught:
            await store.import_from(io.BytesIO(joined(records)))
        assert (await store.head()).position == 0
        assert await collect(store.streams()) == []
        assert await store.consumers() == []
        assert (await store.verify()).ok
    return str(caught.value)


@pytest.mark.promise("integrity")
@pytest.mark.parametrize("name", EVERY)
async def test_a_stranger_s_row_is_a_finding(lasting_url: str, name: str) -> None:
    if name in NUL and dialect(lasting_url) == "postgresql":
        pytest.skip("PostgreSQL holds no NUL in a text")
    await small_log(lasting_url)
    column, value, field = EVERY[name]
    rewrite_column(lasting_url, 3, column, value)
    async with EventStore.open(lasting_url) as store:
        findings = (await store.verify()).findings
        # The head says the last event's time once more.
        also = [None] if column == "recorded_us" else []
        assert [finding.position for finding in findings] == [*also, 3], findings
        assert findings[-1].what.startswith(f"{field} ")
        with pytest.raises(CorruptEventError):
            await store.export(io.BytesIO())
        (event,) = [one async for one in store.read(after=2)]
        for part in ("id", "data", "metadata", "recorded_at"):
            with suppress(CorruptEventError):  # And nothing else.
                getattr(event, part)


@pytest.mark.promise("moving")
@pytest.mark.parametrize("name", EVERY)
async def test_an_archive_with_such_a_value_is_refused(name: str) -> None:
    records = await small_export()
    (position,) = [one[1] for one in records if one[0] == "event" and one[2] == "alone/1"]
    column, value, field = EVERY[name]
    changed(records, position, column, value)
    message = await refused("memory://", bound(records))
    assert f"event {position}: {field} " in message or f"{value!r}: name " in message, message


async def test_the_first_findings_are_named_and_the_rest_are_counted(url: str) -> None:
    records = await small_export()
    for record in records:
        if record[0] == "event":
            record[5] = "Hap\npened"
    message = await refused(url, bound(records))
    assert "event 1: type" in message
    assert "event 10: type" in message
    assert "event 11:" not in message
    assert "and 0 more" not in message
    assert message.count("; and ") == 1


CONSUMERS: dict[str, tuple[int, Any, str]] = {
    "an escape in the name": (1, "\x1b]0;", "name"),
    "no name": (1, "", "name"),
    "a long name": (1, "w" * 256, "name"),
    "a place below all": (2, -1, "position"),
    "a short hash": (3, b"short", "hash"),
    "no opening": (4, 0, "epoch"),
    "an owner with a line break": (5, "host\n:1", "owner"),
    "a time beyond all calendars": (6, 2**62, "seen_us"),
    "another history": (3, b"\0" * 32, "does not belong"),
}


@pytest.mark.parametrize("name", CONSUMERS)
async def test_a_consumer_that_no_subscription_made_is_refused_and_found(
    lasting_url: str, name: str
) -> None:
    records = await small_export()
    (record,) = [one for one in records if one[0] == "consumer"][-1:]
    index, value, field = CONSUMERS[name]
    record[index] = value
    assert field in await refused(lasting_url, records)
    async with EventStore.open(lasting_url) as store:
        await store.append("a/1", some(2))
        async with store.subscribe_changes(consumer="w", follow=False) as changes:
            await collect(changes)
    column = ("", "name", "position", "hash", "epoch", "owner", "seen_us")[index]
    with superuser(lasting_url) as user:
        user.run(f"UPDATE consumer SET {column} = ?", value)
    async with EventStore.open(lasting_url) as store:
        (finding,) = (await store.verify()).findings
    assert finding.where.startswith("consumer ")
    assert field in finding.what


HEADS: dict[str, tuple[int, Any]] = {
    "a log id with a colon": (2, "a:b"),
    "a log id with a NUL": (2, "a\0b"),
    "no first position": (3, 0),
    "a first position beyond numbers": (3, 2**63),
    "an end beyond numbers": (4, 2**64 - 1),
    "another time": (5, 1),
    "a short hash": (6, b""),
    "a base": (7, b"\0" * 32),
}


@pytest.mark.parametrize("name", HEADS)
async def test_a_head_that_no_log_has_is_refused(url: str, name: str) -> None:
    records = await small_export()
    index, value = HEADS[name]
    records[0][index] = value
    if index == 2:
        bound(records)
    assert await refused(url, records)


async def test_a_stream_that_is_missing_twice_there_or_in_another_order_is_refused(
    url: str,
) -> None:
    records = await small_export()
    streams = [one for one in records if one[0] == "stream"]
    await refused(url, [one for one in records if one is not streams[0]])
    unused = [*records[:1], ["stream", "un/used", 3], *records[1:-1], records[-1][:]]
    unused[-1][1] += 1
    await refused(url, unused)
    swapped = [list(one) for one in records]
    first, second = [one for one in swapped if one[0] == "event" and one[2] == "order/17"][:2]
    first[3], second[3] = second[3], first[3]
    said = await refused(url, bound(swapped))
    assert "is version 1 of stream 'order/17' after version 2" in said


async def test_a_kept_event_is_checked_like_any_other(lasting_url: str, tmp_path: Path) -> None:
    async with EventStore.open(lasting_url) as store:
        for _ in range(3):
            await store.append("a/1", some(1))
        await store.trim(3, archive=tmp_path / "archive", keep=lambda _: [1])
        file = io.BytesIO()
        await store.export(file)
    records = taken_apart(file.getvalue())
    (kept,) = [one for one in records if one[0] == "kept"]
    for index, value in ((5, ""), (4, b""), (14, b"short"), (10, 2**62)):
        broken = [list(one) for one in records]
        broken[records.index(kept)][index] = value
        async with EventStore.open("memory://") as store:
            with pytest.raises(ArchiveError, match="kept event 1"):
                await store.import_from(io.BytesIO(joined(bound(broken))))


@pytest.mark.parametrize("name", EVERY)
async def test_a_backup_with_such_a_value_is_not_restored(tmp_path: Path, name: str) -> None:
    copy, place = tmp_path / "copy.db", tmp_path / "log.db"
    await small_log(f"sqlite:///{place}")
    async with EventStore.open(f"sqlite:///{place}") as store:
        await store.backup(copy)
    before = rows(f"sqlite:///{place}")
    column, value, field = EVERY[name]
    rewrite_column(f"sqlite:///{copy}", 3, column, value)
    with pytest.raises(StorageError, match=f"event 3: {field} "):
        await EventStore.restore(copy, f"sqlite:///{place}", replace=True)
    with pytest.raises(StorageError, match="nothing was restored"):
        await EventStore.restore(copy, f"sqlite:///{tmp_path}/new.db")
    assert rows(f"sqlite:///{place}") == before
    assert not (tmp_path / "new.db").exists()
