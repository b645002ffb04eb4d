"""The file that a writer touches stays open; where it has gone, the next write makes it again."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest

from eventstore.notify._position_file import PositionFile

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "log.db-notify"


@pytest.fixture
def written(place: Path) -> PositionFile:
    """Give a file that was written once."""
    file = PositionFile(place)
    file.write(1, "")
    return file


def stored(place: Path) -> int:
    """Return the position as version 0.1.0 reads it."""
    return int((place / "position").read_bytes()[:32])


def test_it_is_opened_once(
    place: Path, written: PositionFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_open(*_: object, **__: object) -> int:
        raise AssertionError("the file is opened again")

    monkeypatch.setattr("eventstore.notify._position_file.open_regular", no_open)
    written.write(2, "one")
    assert (stored(place), written.read()) == (2, (2, "one"))


def unlinked(place: Path) -> None:
    (place / "position").unlink()


def directory_removed(place: Path) -> None:
    shutil.rmtree(place)


def directory_renamed(place: Path) -> None:
    place.rename(place.with_name("elsewhere"))


def replaced(place: Path) -> None:
    (place / "new").write_text("0")
    (place / "new").replace(place / "position")


@pytest.mark.parametrize("what", [unlinked, directory_removed, directory_renamed, replaced])
def test_a_file_that_has_gone_is_made_again(
    place: Path, written: PositionFile, what: Callable[[Path], None]
) -> None:
    what(place)
    written.write(7, "")
    assert stored(place) == 7
    if (gone := place.with_name("elsewhere")).exists():
        assert stored(gone) == 1


def test_a_link_in_its_place_is_not_followed(place: Path, written: PositionFile) -> None:
    victim = place.with_name("victim")
    victim.write_text("precious")
    (place / "position").unlink()
    (place / "position").symlink_to(victim)
    with pytest.raises(OSError, match="symbolic link"):
        written.write(7, "")
    assert victim.read_text() == "precious"


def test_another_file_that_got_its_descriptor_is_neither_written_nor_closed(
    place: Path, written: PositionFile
) -> None:
    descriptor = written._file
    os.close(descriptor)  # As a program does that closes all of its files.
    other = os.open(place.with_name("other"), os.O_RDWR | os.O_CREAT)
    if other != descriptor:
        os.dup2(other, descriptor)
        os.close(other)
    written.write(7, "")
    written.close()
    assert stored(place) == 7
    assert os.pread(descriptor, 100, 0) == b""
    os.close(descriptor)


def test_close_closes_it_and_a_follower_keeps_nothing_open(
    place: Path, written: PositionFile
) -> None:
    descriptor = written._file
    written.close()
    written.close()
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    follower = PositionFile(place.with_name("other-notify"))
    follower.make()
    assert follower._file == -1
    assert follower.read() == (None, None)
