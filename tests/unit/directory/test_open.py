"""Whose directory it is: what open takes, what it refuses, and what it says then."""

import os
from hashlib import sha256
from pathlib import Path

import msgspec
import pytest
from support.rule_log import LOG_ID, Change, RuleLog, files_below

from eventstore.errors import HistoryDivergedError, StorageError
from projections import DirectoryProjection, ProjectionBusyError
from projections.directory.manifest import (
    INTENT,
    MANIFEST,
    ForeignDirectoryError,
    ManifestError,
)
from projections.rules.replica_file import REPLICA_NAME


def test_a_missing_root_is_made_with_its_parents(tmp_path: Path) -> None:
    live = DirectoryProjection(tmp_path / "a" / "b")
    assert live.open(LOG_ID) is None
    assert (tmp_path / "a" / "b" / MANIFEST).is_file()
    live.close()


def test_it_comes_back_where_it_was(log: RuleLog, live: DirectoryProjection) -> None:
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    live.close()
    assert live.open(LOG_ID) == log.cursor()


@pytest.mark.promise("bad-input")
def test_a_directory_with_somebodys_files_is_refused_and_stays(root: Path) -> None:
    root.mkdir()
    (root / "thesis.txt").write_text("mine")
    with pytest.raises(ForeignDirectoryError, match=r"thesis\.txt.*an empty or a new directory"):
        DirectoryProjection(root).open(LOG_ID)
    assert [path.name for path in root.iterdir()] == ["thesis.txt"]


def test_another_projections_directory_is_refused(root: Path, live: DirectoryProjection) -> None:
    live.close()
    with pytest.raises(ForeignDirectoryError, match="belongs to the projection 'directory'"):
        DirectoryProjection(root, name="other").open(LOG_ID)


def test_a_directory_made_from_another_log_is_refused(live: DirectoryProjection) -> None:
    live.close()
    with pytest.raises(HistoryDivergedError, match="made from the log log-1"):
        live.open("log-2")


BAD_MANIFESTS = {
    b"{": "is damaged",
    b'{"format": 2}': "format 2.*upgrade",
    b'{"format": 1, "files": {}}': "is damaged",
    b"\xff\xfe": "is damaged",
}


@pytest.mark.parametrize("raw", BAD_MANIFESTS)
def test_an_unusable_manifest_is_refused_with_advice(
    raw: bytes, root: Path, live: DirectoryProjection
) -> None:
    live.close()
    (root / MANIFEST).write_bytes(raw)
    with pytest.raises(ManifestError, match=f"{BAD_MANIFESTS[raw]}.*project again"):
        live.open(LOG_ID)


@pytest.mark.parametrize(
    "path", ["../up", "/etc/passwd", ".eventstore.json", "./../up", "a/b/../../../up", "a\0b"]
)
def test_a_manifest_that_leads_outside_is_refused(
    path: str, root: Path, live: DirectoryProjection
) -> None:
    live.close()
    manifest = msgspec.json.decode((root / MANIFEST).read_bytes())
    manifest["files"][path] = {"key": "k", "position": 1, "sha256": "0" * 64, "size": 0}
    (root / MANIFEST).write_bytes(msgspec.json.encode(manifest))
    with pytest.raises(ManifestError, match="is damaged"):
        live.open(LOG_ID)


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_root_that_is_a_file_is_a_typed_error(below: str, root: Path) -> None:
    root.write_text("mine")
    with pytest.raises(StorageError, match="is a file, or lies below one"):
        DirectoryProjection(root / below).open(LOG_ID)
    assert root.read_text() == "mine"


def test_a_root_that_is_a_link_is_followed_once(log: RuleLog, root: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    root.symlink_to("real")
    live = DirectoryProjection(root)
    live.open(LOG_ID)
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    live.close()
    assert files_below(tmp_path / "real") == {"a.yml": b"1"}
    assert root.is_symlink()


def test_a_second_runner_is_refused_and_told_who_owns_it(
    root: Path, live: DirectoryProjection
) -> None:
    second = DirectoryProjection(root)
    with pytest.raises(ProjectionBusyError) as caught:
        second.open(LOG_ID)
    assert caught.value.owner.endswith(f":{os.getpid()}")
    live.close()
    second.open(LOG_ID)
    second.close()


def test_what_a_killed_process_left_behind_is_cleared(
    root: Path, live: DirectoryProjection
) -> None:
    live.close()
    (root / ".eventstore-1.tmp").write_text("half")
    (root / f".eventstore-{'0' * 64}.kept").write_text("old")
    live.open(LOG_ID)
    assert sorted(path.name for path in root.iterdir()) == [
        REPLICA_NAME,
        MANIFEST,
        ".eventstore.owner",
    ]


def test_closing_twice_is_closing_once(live: DirectoryProjection) -> None:
    live.close()
    live.close()


@pytest.mark.parametrize(
    "path",
    [
        "../victim",
        "a/../../victim",
        "/{}",
        "../up/victim",
        ".eventstore.json",
        "./../victim",
        "//{}",
        "ok/../../victim",
        "../victim\0",
    ],
)
def test_an_announcement_that_leads_outside_removes_nothing(
    path: str, root: Path, tmp_path: Path, live: DirectoryProjection
) -> None:
    victim, up = tmp_path / "victim", tmp_path / "up" / "victim"
    up.parent.mkdir()
    victim.write_bytes(b"theirs")
    up.write_bytes(b"theirs")
    manifest = (root / MANIFEST).read_bytes()
    live.close()
    content = manifest if path == MANIFEST else b"theirs"
    announced = {path.format(victim): sha256(content).hexdigest(), "ok": sha256(b"").hexdigest()}
    (root / INTENT).write_bytes(msgspec.json.encode(announced))
    (root / "ok").touch()
    live.open(LOG_ID)
    assert victim.read_bytes() == up.read_bytes() == b"theirs"
    assert (root / MANIFEST).read_bytes() == manifest
    assert (root / "ok").exists()
    assert not (root / INTENT).exists()
