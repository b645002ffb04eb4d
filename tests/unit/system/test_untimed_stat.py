"""A file is identified as ``stat`` does, without a ``stat``, which would mark its times as seen."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from eventstore.system import untimed_stat
from eventstore.system.untimed_stat import FileIdentity, identify, identify_open

if TYPE_CHECKING:
    from pathlib import Path


def from_stat(path: Path) -> FileIdentity:
    """Return what Python's own ``lstat`` says."""
    status = path.lstat()
    return FileIdentity(status.st_dev, status.st_ino, status.st_size)


@pytest.fixture(params=["statx", "without statx"])
def _system(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Try each test also as on a system whose C library or kernel has no statx."""
    if request.param == "without statx":
        monkeypatch.setattr(untimed_stat, "_statx", lambda *_: -1)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "log.db"
    path.write_bytes(b"12345")
    return path


@pytest.mark.usefixtures("_system")
def test_a_path_leads_to_the_file_that_stat_names(file: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(file)
    assert identify(str(file)) == from_stat(file)
    assert identify(str(link)) == from_stat(file)
    assert identify(str(link), follow=False) == from_stat(link)


@pytest.mark.usefixtures("_system")
def test_a_descriptor_leads_to_its_file_after_that_was_removed(file: Path) -> None:
    expected = from_stat(file)
    with file.open() as opened:
        file.unlink()
        assert identify_open(opened.fileno()) == expected
        closed = opened.fileno()
    with pytest.raises(OSError, match="Bad file descriptor"):
        identify_open(closed)


@pytest.mark.usefixtures("_system")
def test_where_nothing_is_there_is_no_file(file: Path) -> None:
    assert identify(f"{file}-wal") is None
    assert identify(f"{file}/below") is None


@pytest.mark.usefixtures("_system")
def test_another_error_is_raised(file: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        identify(f"{file}{'x' * 5_000}")


def test_a_file_that_grew_is_the_same_and_a_copy_is_another(file: Path, tmp_path: Path) -> None:
    before = identify(str(file))
    assert before is not None
    file.write_bytes(b"more than before")
    copy = tmp_path / "copy"
    copy.write_bytes(b"12345")
    assert before.same_file(identify(str(file)))
    assert not before.same_file(identify(str(copy)))
    assert not before.same_file(None)


@pytest.mark.skipif(sys.platform != "linux", reason="statx is Linux's")
def test_stat_is_not_called(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = from_stat(file)

    def refuse(*_: object, **__: object) -> os.stat_result:
        raise AssertionError("the file's times were asked for")

    with file.open() as opened:
        monkeypatch.setattr(os, "stat", refuse)
        monkeypatch.setattr(os, "fstat", refuse)
        found = identify(str(file)), identify_open(opened.fileno())
        monkeypatch.undo()
    assert found == (expected, expected)
