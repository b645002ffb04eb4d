"""A file appears under its final name whole, private where it was, and never through a link."""

import errno
import os
import stat
from pathlib import Path

import pytest

from eventstore.errors import StorageError
from eventstore.system.safe_files import (
    create_new,
    open_regular,
    permissions,
    read_regular,
    replacing,
    writing,
)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def names_in(directory: Path) -> list[str]:
    return [path.name for path in directory.iterdir()]


def test_the_content_appears_at_the_end_and_nothing_else_stays(tmp_path: Path) -> None:
    target = tmp_path / "file"
    with writing(target) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names_in(tmp_path) == ["file"]


def test_a_failure_leaves_the_old_content_and_no_temporary_file(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")

    def fail() -> None:
        with writing(target) as file:
            file.write(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert target.read_bytes() == b"old"
    assert names_in(tmp_path) == ["file"]


def test_two_temporary_names_of_one_process_differ(tmp_path: Path) -> None:
    with replacing(tmp_path / "file") as one, replacing(tmp_path / "file") as other:
        assert one != other
        assert one.name.startswith(".file.")
        assert one.name.endswith(".part")


def test_a_link_at_the_final_name_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    target = tmp_path / "file"
    target.symlink_to(victim)
    with writing(target) as file:
        file.write(b"new")
    assert victim.read_bytes() == b"untouched"
    assert not target.is_symlink()


@pytest.mark.parametrize("planted", ["file", "link", "dangling"])
def test_what_stands_at_a_new_name_is_never_written_through(tmp_path: Path, planted: str) -> None:
    victim, name = tmp_path / "victim", tmp_path / "name"
    if planted != "dangling":
        victim.write_bytes(b"untouched")
    if planted == "file":
        victim.rename(name)
    else:
        name.symlink_to(victim)
    with pytest.raises(FileExistsError):
        create_new(name)
    if planted == "dangling":
        assert not victim.exists()
    else:
        assert name.read_bytes() == b"untouched"


def test_a_replaced_file_hands_on_its_permissions(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"old")
    target.chmod(0o600)
    with writing(target, mode=0o666) as file:
        file.write(b"new")
    assert mode_of(target) == 0o600


def test_a_new_file_has_the_permissions_that_were_asked_for(tmp_path: Path) -> None:
    private = tmp_path / "private"
    private.touch(0o600)
    with writing(tmp_path / "copy", mode=permissions(private)) as file:
        file.write(b"")
    assert mode_of(tmp_path / "copy") == 0o600


@pytest.mark.parametrize("mode", [0o444, 0o400, 0o440])
@pytest.mark.parametrize("replaced", [False, True])
def test_a_file_that_may_not_be_written_is_filled_before_it_gets_its_permissions(
    tmp_path: Path, mode: int, replaced: bool
) -> None:
    target = tmp_path / "file"
    if replaced:
        target.write_bytes(b"old")
        target.chmod(mode)
    with replacing(target, mode=0o666 if replaced else mode) as temporary:
        # Root may write to any file; the permissions say what another owner may.
        assert mode_of(temporary) & 0o600 == 0o600
        assert mode_of(temporary) & 0o077 == mode & 0o077
        temporary.write_bytes(b"new")
    assert target.read_bytes() == b"new"
    assert mode_of(target) == mode


def test_a_missing_directory_is_a_storage_error_that_names_the_file(tmp_path: Path) -> None:
    target = tmp_path / "missing" / "file"
    with pytest.raises(StorageError, match="missing/file"), replacing(target):
        pass


@pytest.mark.parametrize("flags", [os.O_RDONLY, os.O_WRONLY, os.O_RDWR | os.O_CREAT])
@pytest.mark.parametrize("kind", ["pipe", "directory", "socket", "device", "link"])
def test_what_is_no_regular_file_is_refused_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, flags: int
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path("place")
    if kind == "pipe":
        os.mkfifo(place)
    elif kind == "directory":
        place.mkdir()
    elif kind == "socket":
        os.mknod(place, stat.S_IFSOCK | 0o600)
    else:
        place.symlink_to("/dev/null" if kind == "device" else "elsewhere")
        Path("elsewhere").write_bytes(b"untouched")
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the errno is looked at
        open_regular(place, flags, follow=kind == "device")
    assert caught.value.errno in {errno.EINVAL, errno.ENXIO, errno.EISDIR, errno.ELOOP}


def test_a_link_is_followed_where_that_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link", 3, follow=True) == b"con"
    assert read_regular(tmp_path / "file") == b"content"
