"""Rules from a projected directory that is half copied, damaged or of an older version."""

from __future__ import annotations

import os
import random
import shutil
from hashlib import sha256
from typing import TYPE_CHECKING

import anyio
import pytest
from support.projected_rules import Master, told
from support.waiting import eventually, take

from projections import DirectoryProjection, ProjectionRunner
from projections.directory.manifest import MANIFEST
from projections.rules import (
    FeedError,
    RuleReplica,
)
from projections.rules.replica_file import REPLICA_FORMAT, REPLICA_NAME

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = pytest.mark.anyio


@pytest.mark.promise("replica")
async def test_nothing_half_copied_is_ever_used(master: Master, tmp_path: Path) -> None:
    await master.edit("A")
    await master.project()
    copy = tmp_path / "copy"
    shutil.copytree(master.live, copy)
    reader = RuleReplica(copy, poll=0.01)
    await reader.load_compiled()
    changes = reader.subscribe_changes()
    rng = random.Random(8)
    for number in range(10):
        await master.edit("A", "B", "C", name=f"n{number}")
        await master.project()
        whole = (master.live / REPLICA_NAME).read_bytes()
        with (copy / REPLICA_NAME).open("wb") as file:  # in place, as some ways to copy do it
            for cut in sorted(rng.sample(range(1, len(whole)), 5)):
                file.write(whole[file.tell() : cut])
                file.flush()
                names = {rule.name for rule in await reader.load_compiled()}
                assert names == ({"first"} if number == 0 else {f"n{number - 1}"})
                assert "not whole" in reader.trouble
            file.write(whole[file.tell() :])
        assert told(await take(changes, 3)) == [(one, f"n{number}") for one in "ABC"]
        assert reader.trouble == ""


@pytest.mark.promise("replica")
async def test_files_may_arrive_in_any_order_or_never(master: Master, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    reader = RuleReplica(copy, poll=0.01)
    published: dict[int, str] = {}
    rng = random.Random(3)
    for number in range(8):
        await master.edit("A", "B", name=f"n{number}")
        await master.project()
        files = [path for path in sorted(master.live.iterdir()) if path.suffix != ".owner"]
        rng.shuffle(files)
        copy.mkdir(exist_ok=True)
        arrived = files[: rng.randrange(len(files) + 1)] if number else files
        for path in arrived:
            shutil.copyfile(path, copy / ".part")
            (copy / ".part").replace(copy / path.name)
        published[(await master.log.head()).position] = f"n{number}"
        rules = await reader.load_compiled()
        assert [rule.name for rule in rules] == [published[reader.position]] * 2


async def test_what_is_damaged_leaves_the_last_good_rules(master: Master) -> None:
    await master.edit("A")
    await master.project()
    file = master.live / REPLICA_NAME
    good = file.read_bytes()
    reader = RuleReplica(master.live)
    await reader.load_compiled()
    body = good.partition(b"\n")[2]
    bad = [
        b"",
        b"\0" * 100,
        body,
        good[:-1],
        good.replace(b'"A"', b'"B"'),
        *(signed(content) for content in (b"{}", b"[", b"[" * 100_000, b'{"format": 2}')),
        signed(body.replace(b'"hash":"', b'"hash":"x')),
    ]
    for content in bad:
        file.write_bytes(content)
        assert [rule.rule_id for rule in await reader.load_compiled()] == ["A"]
        assert reader.trouble
        with pytest.raises(FeedError):
            REPLICA_FORMAT.decode(content, "here")
    for make in (os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")):
        remove(file)
        make(file)
        assert [rule.rule_id for rule in await reader.load_compiled()] == ["A"]
        assert reader.trouble
    remove(file)
    assert [rule.rule_id for rule in await reader.load_compiled()] == ["A"]
    await master.project()
    assert [rule.rule_id for rule in await reader.load_compiled()] == ["A"]
    assert (reader.trouble, file.read_bytes()) == ("", good)


def signed(body: bytes) -> bytes:
    """Return a body with a checksum that is right."""
    whole = REPLICA_FORMAT.empty("any").encode()
    digest = sha256(body).hexdigest().encode()
    assert whole.partition(b"\n")[0] != digest
    return digest + b"\n" + body


def remove(path: Path) -> None:
    """Remove the file, link or directory."""
    if path.is_dir() and not path.is_symlink():
        path.rmdir()
    else:
        path.unlink()


async def test_an_older_directory_and_one_that_was_cut_short_are_completed(master: Master) -> None:
    await master.edit("A")
    await master.project()
    older = (master.live / REPLICA_NAME).read_bytes()
    await master.edit("A", name="second")
    await master.project()
    good, manifest = (
        (master.live / REPLICA_NAME).read_bytes(),
        (master.live / MANIFEST).read_bytes(),
    )
    # Without the file, as an earlier version left it; and with one that is behind or ahead.
    for content in (None, older, good):
        (master.live / REPLICA_NAME).unlink()
        if content is not None:
            (master.live / REPLICA_NAME).write_bytes(content)
        await master.project()
        assert (master.live / REPLICA_NAME).read_bytes() == good
        assert (master.live / MANIFEST).read_bytes() == manifest


async def test_a_running_projection_mends_it(master: Master) -> None:
    await master.edit("A")
    runner = ProjectionRunner(
        master.log, DirectoryProjection(master.live, fsync=False), heal_seconds=0.02
    )
    file = master.live / REPLICA_NAME
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(runner.run)

        async def whole() -> bool:
            return file.exists() and REPLICA_FORMAT.decode(file.read_bytes(), "").position == 1

        await eventually(whole)
        file.write_bytes(b"spoiled")

        async def mended() -> bool:
            return file.read_bytes() != b"spoiled"

        await eventually(mended)
        assert await whole()
        tasks.cancel_scope.cancel()
