"""A file is identified as ``stat`` does, without a ``stat``, which would mark its times as seen."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pytest

from eventstore.system import untimed_stat
from eventstore.system.untimed_stat import identify, identify_open, identify_with_size

if TYPE_CHECKING:
    from pathlib import Path

    from eventstore.system.untimed_stat import FileIdentity


def from_stat(path: Path) -> FileIdentity:
    """Return what Python's own ``lstat`` says."""
    status = path.lstat()
    return status.st_ino, os.major(status.st_dev), os.minor(status.st_dev)


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
    assert identify(bytes(file)) == from_stat(file)
    assert identify(bytes(link)) == from_stat(file)
    assert identify(bytes(link), follow=False) == from_stat(link)
    assert identify_with_size(bytes(link)) == (from_stat(file), 5)


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
    assert identify(bytes(file) + b"-wal") is None
    assert identify(bytes(file) + b"/below") is None
    assert identify_with_size(bytes(file) + b"-wal") == (None, 0)


@pytest.mark.usefixtures("_system")
def test_another_error_is_raised(file: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        identify(bytes(file) + b"x" * 5_000)


def test_a_file_that_grew_is_the_same_and_a_copy_is_another(file: Path, tmp_path: Path) -> None:
    before = identify(bytes(file))
    file.write_bytes(b"more than before")
    copy = tmp_path / "copy"
    copy.write_bytes(b"12345")
    assert identify(bytes(file)) == before
    assert identify(bytes(copy)) != before


@pytest.mark.skipif(sys.platform != "linux", reason="statx is Linux's")
def test_stat_is_not_called(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = from_stat(file)

    def refuse(*_: object, **__: object) -> os.stat_result:
        raise AssertionError("the file's times were asked for")

    with file.open() as opened:
        monkeypatch.setattr(os, "stat", refuse)
        monkeypatch.setattr(os, "fstat", refuse)
        found = identify(bytes(file)), identify_open(opened.fileno())
        monkeypatch.undo()
    assert found == (expected, expected)
