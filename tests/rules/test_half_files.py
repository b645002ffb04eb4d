"""Files that are written in place, piece by piece: one definition of the finished file."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import anyio
import pytest
from support.master import fill, following, logged, stands
from support.waiting import eventually

from projections.rules import RuleSync
from projections.rules.sources import _writer_watch
from projections.rules.sources.debounce import DebounceTimes

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore import EventStore

pytestmark = pytest.mark.anyio

PIECES = [f"piece {number}\n" * 50 for number in range(8)]


async def definitions(store: EventStore, path: str) -> list[str]:
    events = await logged(store, "RuleDefined")
    return [event.data["content"] for event in events if event.data["path"] == path]


@pytest.mark.slow
@pytest.mark.promise("sources")
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")
async def test_a_file_written_in_place_is_defined_once_it_is_closed(
    store: EventStore, root: Path
) -> None:
    # While the file is open there is no rest: each of the others is taken at the limit.
    times = DebounceTimes(longest=1.0)
    async with following(store, root, format="raw", rescan_seconds=1.0, debounce=times):
        with (root / "new.yar").open("w") as stream:
            for number, piece in enumerate(PIECES[:4]):
                stream.write(piece)
                stream.flush()
                # A master that looks meanwhile takes other files, and not this one.
                fill(root, {f"other{number}": "whole"})
                await stands(store, f"other{number}", "whole")
        await stands(store, "new.yar", "".join(PIECES[:4]))
    assert await definitions(store, "new.yar") == ["".join(PIECES[:4])]


@pytest.mark.parametrize("name", ["new.yar.filepart", "new.yar.part", ".new.yar.AbCdEf"])
async def test_a_file_of_a_transfer_is_defined_under_its_last_name(
    store: EventStore, root: Path, name: str
) -> None:
    async with following(store, root, format="raw"):
        for number, piece in enumerate(PIECES[:3]):
            with (root / name).open("a") as stream:
                stream.write(piece)
            fill(root, {f"other{number}": "whole"})
            await stands(store, f"other{number}", "whole")
        (root / name).rename(root / "new.yar")
        await stands(store, "new.yar", "".join(PIECES[:3]))
    assert await definitions(store, "new.yar") == ["".join(PIECES[:3])]
    assert await logged(store, "RuleRemoved") == []


@pytest.mark.parametrize("is_open", [None, False])
async def test_a_file_that_grows_and_grows_must_rest_for_longer(
    store: EventStore, root: Path, monkeypatch: pytest.MonkeyPatch, is_open: bool | None
) -> None:
    # A network file system tells nothing; a shell script opens and closes for each line.
    monkeypatch.setattr(_writer_watch, "is_open_for_writing", lambda path: is_open)
    async with following(store, root, format="raw", rescan_seconds=1.0):
        with monkeypatch.context() as growing:
            # However slow the machine is, no two pieces are further apart.
            growing.setattr(_writer_watch, "GROWING_NS", 3_600 * 10**9)
            for piece in PIECES * 3:
                with (root / "new.yar").open("a") as stream:
                    stream.write(piece)
                await anyio.sleep(0.06)  # A writer's pace: between two pieces there are looks.
        await stands(store, "new.yar", "".join(PIECES * 3))
    assert len(await definitions(store, "new.yar")) <= (1 if is_open is None else 3)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")
async def test_one_look_does_not_take_a_file_that_is_open_for_writing(
    store: EventStore, root: Path
) -> None:
    fill(root, {"a": "whole", "b": "half"})
    master = RuleSync(store, root, format="raw", debounce=DebounceTimes(longest=0.5))
    with (root / "b").open("a") as stream:
        assert (await master.sync_once()).defined == 1
        stream.write(" and half")
    assert (await master.sync_once()).defined == 1
    assert await definitions(store, "b") == ["half and half"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells who has a file open")
async def test_a_file_that_a_program_keeps_open_without_writing_is_taken(
    store: EventStore, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_writer_watch, "IDLE_NS", 300_000_000)
    with (root / "a").open("w") as stream:
        stream.write("whole")
        stream.flush()
        master = RuleSync(store, root, format="raw")

        async def taken() -> bool:
            await master.sync_once()
            return await definitions(store, "a") == ["whole"]

        await eventually(taken)


@pytest.mark.slow
async def test_an_edit_of_an_old_rule_while_it_is_open_keeps_the_last_version(
    store: EventStore, root: Path
) -> None:
    fill(root, {"a": "first"})
    async with following(store, root, format="raw", rescan_seconds=1.0):
        with (root / "a").open("w") as stream:
            stream.write("second")
            stream.flush()
            fill(root, {"b": "other"})
            await stands(store, "b", "other")
            stream.write(" and last")
        await stands(store, "a", "second and last")
        await marked_raw(store, root)
    assert await definitions(store, "a") == ["first", "second and last"]


async def marked_raw(store: EventStore, root: Path) -> None:
    fill(root, {"marker": "now"})
    await stands(store, "marker", "now")
