"""Small file systems of a test's own that fail as real ones do; a test that may not mount skips."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

IMAGE_BYTES = 4 << 20


@contextmanager
def mounted(place: Path, size: str = "1m") -> Iterator[Path]:
    """Mount an empty file system in memory, of so many bytes."""
    place.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={size}", "none", str(place))
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Leave no space in the file system of a folder."""
    filler = folder / "filler"
    with suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    yield
    filler.unlink()


class Disk:
    """An ext4 file system that goes read-only under files that are open, as after a fault.

    A request to mount it read-only is refused by the kernel while a file is open for writing, so
    :meth:`fail` makes the file system find a fault. The kernel ends that state by unmounting.
    """

    def __init__(self, place: Path, hidden: str) -> None:
        """Mount it at ``place``, where a folder ``hidden`` is while it is not mounted."""
        self.place = place
        self._image = place.with_name("image")
        with self._image.open("wb") as file:
            file.truncate(IMAGE_BYTES)
        make = ["mkfs.ext4", "-q", "-F", "-O", "^has_journal", str(self._image)]
        try:
            subprocess.run(make, check=True)
        except FileNotFoundError:
            pytest.skip("no program mkfs.ext4 is there")
        (place / hidden).mkdir(parents=True)
        self._mount()

    def fail(self) -> None:
        """Let the file system find a fault, after which nothing is written to it any more."""
        mounts = (line.split() for line in Path("/proc/mounts").read_text().splitlines())
        (device,) = (line[0] for line in mounts if line[1] == str(self.place))
        fault = Path("/sys/fs/ext4", Path(device).name, "trigger_fs_error")
        try:
            fault.write_text("1")
        except OSError as error:
            pytest.skip(f"{fault} cannot be written, so the file system cannot fail: {error}")
        with pytest.raises(OSError, match="Read-only"):
            (self.place / "probe").touch()

    def repair(self) -> None:
        """Unmount it once no file is open, and mount it again."""
        wait_until(lambda: not self._unmount())
        self._mount()

    def close(self) -> None:
        """Unmount it."""
        if self._unmount():
            subprocess.run(["umount", "-l", str(self.place)], check=True)

    def _mount(self) -> None:
        _mount("-o", "loop,errors=remount-ro", str(self._image), str(self.place))

    def _unmount(self) -> int:
        return subprocess.run(
            ["umount", str(self.place)], capture_output=True, check=False
        ).returncode


def _mount(*words: str) -> None:
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"this user may not mount a file system: {done.stderr.strip()}")
