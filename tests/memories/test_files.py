"""Memories as files: there when store returns, repaired, and other programs' files untouched."""

from __future__ import annotations

import hashlib
import json
import logging
import random
import shutil
from typing import TYPE_CHECKING

import pytest
from support.memories import Place, some
from support.processes import child, lines, wait_for

from eventstore import EventStore, StorageError
from projections.directory import ForeignDirectoryError
from projections.memories.files import MemoryFiles

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def root(files: Place) -> Path:
    """Name the directory."""
    assert files.directory is not None
    return files.directory


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir() if not path.name.startswith(".")}


def test_the_file_is_there_when_store_returns_and_gone_when_delete_does(
    files: Place, root: Path
) -> None:
    with files.open() as memories:
        for content in ("one", "two"):
            memories.store(some(content=content, embedding=[-0.0, 1e-310]))
            assert '"embedding":[-0.0,1e-310]' in (root / "m-1.json").read_text()
            assert json.loads((root / "m-1.json").read_bytes())["content"] == content
        memories.delete("m-1")
        assert names(root) == set()


def test_ids_that_differ_in_case_only_have_files_that_differ_in_more(
    files: Place, root: Path
) -> None:
    ids = ["mem", "Mem", "MEM", "x" * 255, "X" * 255, "x" * 254, "x" * 201, "x" * 200]
    with files.open() as memories:
        for memory_id in ids:
            memories.store(some(memory_id))
    assert len({name.lower() for name in names(root)}) == len(ids)
    assert files.files().keys() == set(ids)
    assert {"mem.json", "x" * 200 + ".json"} < names(root)


def test_what_was_changed_or_removed_is_back_at_the_next_opening(files: Place, root: Path) -> None:
    with files.open() as memories:
        for memory_id in "abc":
            memories.store(some(memory_id))
    (root / "a.json").unlink()
    (root / "b.json").write_text("{}")
    with files.open() as memories:
        memories.count()
        assert {one["content"] for one in files.files().values()} == {some().content}
        assert files.files().keys() == set("abc")


def test_a_directory_that_was_removed_is_made_again(files: Place, root: Path) -> None:
    with files.open() as memories:
        memories.store(some("a"))
        memories.delete("a")
        memories.store(some("b"))
    shutil.rmtree(root)
    with files.open() as memories:
        assert memories.list_ids() == ["b"]
        assert files.files().keys() == {"b"}


@pytest.mark.promise("memories")
def test_strangers_in_the_directory_stay_as_they_are(
    files: Place, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with files.open() as memories:
        memories.store(some("a"))
        (root / "notes.txt").write_text("mine")
        (root / "b.json").write_text("mine too")
        with caplog.at_level(logging.WARNING):
            memories.store(some("b"))
        assert "no file" in caplog.text
        assert memories.get("b") == some("b")
        memories.delete("a")
        memories.delete("b")
    assert (root / "notes.txt").read_text() == "mine"
    assert (root / "b.json").read_text() == "mine too"
    assert names(root) == {"notes.txt", "b.json"}


def test_a_directory_of_an_older_version_gets_the_names_of_today(files: Place, root: Path) -> None:
    with files.open() as memories:
        memories.store(some("a"))
        memories.store(some("b"))
    private = {path.name for path in root.glob(".*")}
    assert ".eventstore-manifest" in private
    assert not any(name.endswith(".json") for name in private)
    (root / ".eventstore-manifest").rename(root / ".eventstore.json")
    # A crash of that version: what it had announced and written is taken back.
    content = b"half"
    announced = {"c.json": hashlib.sha256(content).hexdigest()}
    (root / ".eventstore-intent.json").write_text(json.dumps(announced))
    (root / "c.json").write_bytes(content)
    (root / "b.json").unlink()
    with files.open() as memories:
        assert files.files().keys() == {"a", "b"}
        memories.store(some("d"))
        assert files.files().keys() == {"a", "b", "d"}


@pytest.fixture
def manifest_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write no whole manifest: neither a small one, nor for the time that a busy machine takes."""
    monkeypatch.setattr("projections.directory._publisher.SMALL_BYTES", 0)
    monkeypatch.setattr("projections.directory._publisher.WHOLE_SECONDS", 3600.0)
    monkeypatch.setattr("projections.memories.files.HOLD_SECONDS", 3600.0)


@pytest.mark.usefixtures("manifest_stays")
def test_one_memory_is_published_by_a_line_and_not_by_the_whole_manifest(
    files: Place, root: Path
) -> None:
    with files.open() as memories:
        memories.store(some("a", "first"))  # The directory is written for the first time.
        whole = (root / ".eventstore-manifest").read_bytes()
        memories.store(some("b", "second"))
        memories.store(some("c", "third"))
        assert (root / ".eventstore-manifest").read_bytes() == whole
        assert b'"c.json"' in (root / ".eventstore-journal").read_bytes()
        assert files.files()["c"]["content"] == "third"
        # What another process reads that waits for its own write.
        neighbour = MemoryFiles(EventStore.open(files.url), root)
        assert neighbour._request() == memories.history("c")[-1].position
    assert not (root / ".eventstore-journal").exists()
    with files.open() as memories:
        memories.count()
        assert files.files().keys() == {"a", "b", "c"}


@pytest.mark.promise("memories")
@pytest.mark.usefixtures("manifest_stays")
def test_whichever_names_and_lines_a_loss_of_power_takes_the_next_opening_brings_back(
    files: Place, root: Path
) -> None:
    with files.open() as memories:
        for memory_id in "abc":
            memories.store(some(memory_id, "old"))
    with files.open() as memories:
        memories.count()
        before = contents(root)
        for memory_id in "adbe":
            memories.store(some(memory_id, "new"))
        after = contents(root)
    assert before[".eventstore-manifest"] == after[".eventstore-manifest"]
    lines = after.pop(".eventstore-journal")
    changed = {name for name in after if before.get(name) != after[name] and name[0] != "."}
    assert changed == {"a.json", "b.json", "d.json", "e.json"}
    for seed in range(8):
        dice = random.Random(seed)
        lost = {name for name in changed if dice.random() < 0.5}
        left = {**after, **{name: before.get(name) for name in lost}}
        left[".eventstore-journal"] = lines[: dice.randint(0, len(lines))]
        shutil.rmtree(root)
        root.mkdir()
        for name, content in left.items():
            if content is not None:
                (root / name).write_bytes(content)
        with files.open() as memories:
            assert memories.list_ids() == list("abcde")
            found = {key: one["content"] for key, one in files.files().items()}
            assert found == dict.fromkeys("abde", "new") | {"c": "old"}, (seed, lost)


def contents(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in root.iterdir()}


def test_the_directory_of_another_projection_is_left_alone(files: Place, root: Path) -> None:
    root.mkdir()
    other = json.dumps({"format": 1, "projection": "directory", "log_id": "x", "position": 0,
                        "hash": "", "files": {}})  # fmt: skip
    (root / ".eventstore.json").write_text(other)
    with pytest.raises(ForeignDirectoryError, match="another projection"):
        files.open().store(some())
    assert (root / ".eventstore.json").read_text() == other


def test_a_strangers_directory_is_refused(files: Place, root: Path) -> None:
    root.mkdir()
    (root / "photo.jpg").write_text("x")
    with pytest.raises(ForeignDirectoryError):
        files.open().store(some())
    assert names(root) == {"photo.jpg"}


def test_files_that_cannot_be_written_are_an_error_and_come_later(files: Place, root: Path) -> None:
    with files.open() as memories:
        memories.store(some("a"))
        away = root.rename(root.with_name("away"))
        root.write_text("in the way")
        with pytest.raises(StorageError, match=r"replaced|is a file"):
            memories.store(some("b"))
        assert memories.get("b") == some("b")
        root.unlink()
        away.rename(root)
        memories.store(some("c"))
        assert files.files().keys() == set("abc")


@pytest.mark.promise("memories")
def test_what_was_killed_between_log_and_file_is_healed(files: Place) -> None:
    with child("memory_logger", files.url, files.directory or "") as process:
        wait_for(process, "logged")
        process.kill()
        process.wait()
    assert files.files().keys() == {"a"}
    with files.open() as memories:
        assert memories.list_ids() == ["a", "b"]
        assert files.files().keys() == {"a", "b"}


@pytest.mark.promise("memories")
def test_two_processes_share_a_directory(files: Place, root: Path) -> None:
    with files.open() as memories, child("memory_neighbour", files.url, root) as process:
        wait_for(process, "ready")
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
        for number in range(40):
            memories.store(some(f"mine-{number}"))
            assert (root / f"mine-{number}.json").exists()
        said = list(lines(process))
    assert said == ["done"]
    assert len(names(root)) == 80
