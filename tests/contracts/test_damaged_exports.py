"""Exports that are damaged, or whose log is not whole: refused, and nothing of them is taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from support.exports import chunks, imported, joined, small_export
from support.moving import rows
from support.strange import bound

from eventstore import EventStore
from eventstore.errors import ArchiveError
from eventstore.storage import bulk

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.anyio


async def refuse(url: str, content: bytes) -> ArchiveError:
    """Import what must be refused; check that nothing of it is there."""
    before = rows(url)
    with pytest.raises(ArchiveError) as caught:
        await imported(url, content)
    assert rows(url) == before
    return caught.value


async def empty(url: str) -> None:
    async with EventStore.open(url):
        pass


EACH = pytest.mark.parametrize("each", [3, pytest.param(1, marks=pytest.mark.soak)])
"""Every place where a file is damaged, or every third one."""


@pytest.mark.promise("moving")
@EACH
async def test_a_file_that_ends_early_is_refused_wherever_it_ends(
    lasting_url: str, each: int
) -> None:
    await empty(lasting_url)
    content = await small_export()
    sizes = [*range(20), *range(20, len(content), len(content) // 20), len(content) - 1]
    for size in sizes[::-each]:
        error = await refuse(lasting_url, content[:size])
        assert error.offset <= size


@pytest.mark.promise("moving")
@EACH
async def test_a_file_of_which_a_byte_was_changed_is_refused(lasting_url: str, each: int) -> None:
    await empty(lasting_url)
    content = await small_export()
    places = [*range(20), *range(20, len(content), len(content) // 30), *range(-36, 0)]
    for place in places[::each]:
        changed = bytearray(content)
        changed[place] ^= 1 << (place % 8)
        await refuse(lasting_url, bytes(changed))


async def test_two_files_in_one_are_refused(lasting_url: str) -> None:
    await empty(lasting_url)
    content = await small_export()
    assert "follows the end" in str(await refuse(lasting_url, content + content))
    await refuse(lasting_url, content + b"\0")


def _lose(records: list[Any]) -> None:
    del records[12]


def _swap(records: list[Any]) -> None:
    records[12], records[15] = records[15], records[12]


def _change_data(records: list[Any]) -> None:
    records[12][8] = b'"other"'


def _change_time(records: list[Any]) -> None:
    records[12][10] += 1


def _change_counts(records: list[Any]) -> None:
    records[-1][3] += 1


def _move_consumer(records: list[Any]) -> None:
    records[-2][2] = 99


def _newer(records: list[Any]) -> None:
    records[0][1] = 2


def _no_end(records: list[Any]) -> None:
    del records[-1]


def _negative(records: list[Any]) -> None:
    records[12][3] = -1


def _no_log(records: list[Any]) -> None:
    del records[0]


@pytest.mark.parametrize(
    "harm",
    [_lose, _swap, _change_data, _change_time, _change_counts, _move_consumer, _newer, _no_end,
     _negative, _no_log],
)  # fmt: skip
async def test_a_whole_file_whose_log_is_not_whole_is_refused(
    lasting_url: str, harm: Callable[[list[Any]], None]
) -> None:
    await empty(lasting_url)
    _, (records,), _ = chunks(await small_export())
    await imported_again(records)
    harm(records)
    await refuse(lasting_url, joined(records))


def _same_stream(records: list[Any]) -> None:
    records.insert(2, records[1])
    records[-1][1] += 1


def _same_id(records: list[Any]) -> None:
    records[20][4] = records[12][4]


def _same_version(records: list[Any]) -> None:
    later = [one for one in records if one[0] == "event" and one[3] > 1]
    later[0][3] = 1


@pytest.mark.parametrize(
    ("harm", "what"),
    [
        (_same_stream, "stream '.*' is there twice"),
        (_same_id, "event 14 has the id of event 6;"),
        (_same_version, "event [0-9]+ is version 1 of stream '.*' after version 1"),
    ],
)
async def test_what_is_there_twice_is_refused_by_its_place(
    lasting_url: str, harm: Callable[[list[Any]], None], what: str
) -> None:
    await empty(lasting_url)
    _, (records,), _ = chunks(await small_export())
    harm(records)
    assert re.search(what, str(await refuse(lasting_url, joined(bound(records)))))


async def test_an_id_that_comes_twice_in_another_batch_is_refused(
    lasting_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk, "BATCH", 5)
    await empty(lasting_url)
    _, (records,), _ = chunks(await small_export())
    _same_id(records)
    error = await refuse(lasting_url, joined(bound(records)))
    assert "event 14 has the id of event 6" in str(error)


async def imported_again(records: list[Any]) -> None:
    """Show that it is the harm that is refused, not how the file was put together."""
    await imported("memory://", joined(records))


async def test_a_version_that_no_event_has_is_refused(lasting_url: str) -> None:
    await empty(lasting_url)
    _, (records,), _ = chunks(await small_export())
    records[1][2] += 1
    with pytest.raises(ArchiveError, match="versions of stream") as caught:
        await imported(lasting_url, joined(records))
    assert caught.value.offset is None
