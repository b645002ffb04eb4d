"""What is exchanged for a link while a source is looked at never leads out of it."""

from __future__ import annotations

import hashlib
import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from support.master import fill

from projections.rules.formats import get_format
from projections.rules.sources._bound_reads import list_inside, read_inside
from projections.rules.sources.scan import Scanner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

SECRET = "secret: of another"
MOST_LOOKS = 4_000
ENOUGH = 15
"""How often a look is to meet the exchange."""


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Give a directory of files that no scan may read or name."""
    return fill(tmp_path / "outside", {"x.yml": SECRET, "only_outside.yml": SECRET})


def exchange_folder(root: Path, outside: Path) -> None:
    """Let a link take the place of a folder, and the folder come back."""
    (root / "sub").rename(root.parent / "away")
    (root / "sub").symlink_to(outside)
    (root / "sub").unlink()
    (root.parent / "away").rename(root / "sub")


def exchange_file(root: Path, outside: Path) -> None:
    """Let a link take the place of a file, and the file come back."""
    (root.parent / "link").symlink_to(outside / "x.yml")
    os.link(root / "sub" / "x.yml", root.parent / "kept")
    (root.parent / "link").rename(root / "sub" / "x.yml")
    (root.parent / "kept").rename(root / "sub" / "x.yml")


def exchange_pipe(root: Path, outside: Path) -> None:
    """Let a pipe take the place of a file, and the file come back."""
    os.mkfifo(root.parent / "pipe")
    os.link(root / "sub" / "x.yml", root.parent / "kept")
    (root.parent / "pipe").rename(root / "sub" / "x.yml")
    (root.parent / "kept").rename(root / "sub" / "x.yml")


@contextmanager
def exchanging(step: Callable[[], None]) -> Iterator[None]:
    """Exchange again and again in a thread for the block."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            step()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@pytest.mark.parametrize("exchange", [exchange_folder, exchange_file, exchange_pipe])
def test_a_scan_beside_exchanges_reads_and_names_nothing_outside(
    root: Path, outside: Path, exchange: Callable[[Path, Path], None]
) -> None:
    fill(root, {"sub/x.yml": "ours", "sub/y.yml": "ours"})
    looks, disturbed = 0, 0
    with exchanging(lambda: exchange(root, outside)):
        while disturbed < ENOUGH and looks < MOST_LOOKS:
            looks += 1
            disturbed += not is_whole(root)
    assert disturbed, "the exchange was never met"
    assert is_whole(root), "at rest"


def is_whole(root: Path) -> bool:
    """Look at a source, which shows nothing from outside; return whether both files are there."""
    secret = hashlib.sha256(SECRET.encode()).hexdigest()
    look = Scanner(root, get_format("raw").filename)
    found = look.scan()
    seen = {*found, *(one.path for one in look.ignored)}
    assert not [path for path in seen if "only_outside" in path]
    assert secret not in {file.sha256 for file in found.values()}
    assert look.digest("sub/x.yml") != secret
    whole = set(found) == {"sub/x.yml", "sub/y.yml"}
    return whole and not [file for file in found.values() if file.problem]


def test_a_folder_that_became_a_link_after_it_was_found_is_not_listed(
    root: Path, outside: Path
) -> None:
    fill(root, {"sub/x.yml": "ours"})
    real = os.path.realpath(root)
    assert [one.name for one in list_inside(f"{real}/sub", real)] == ["x.yml"]
    (root / "sub").rename(root.parent / "away")
    (root / "sub").symlink_to(outside)
    with pytest.raises(OSError, match="leads out"):
        list(list_inside(f"{real}/sub", real))
    with pytest.raises(OSError, match="leads out"):
        read_inside(f"{real}/sub/x.yml", real, 100)


def test_without_the_list_of_open_files_a_path_is_checked_by_itself(
    root: Path, outside: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readlink = os.readlink

    def missing(path: str, **options: int) -> str:
        if path.startswith("/proc/"):
            raise FileNotFoundError
        return readlink(path, **options)

    monkeypatch.setattr("projections.rules.sources._bound_reads.os.readlink", missing)
    fill(root, {"sub/x.yml": "ours"})
    (root / "link.yml").symlink_to(outside / "x.yml")
    (root / "inside.yml").symlink_to("sub/x.yml")
    real = os.path.realpath(root)
    assert read_inside(f"{root}/inside.yml", real, 100)[0] == b"ours"
    with pytest.raises(OSError, match="leads out"):
        read_inside(f"{root}/link.yml", real, 100)
