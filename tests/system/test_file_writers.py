"""Whether a file is open for writing, in this program or another one."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support.open_files import open_files

from eventstore.system.file_writers import is_open_for_writing

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="file leases are Linux's")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "a"
    file.write_text("text")
    return file


@pytest.mark.parametrize("mode", ["ab", "r+b", "wb"])
def test_a_file_is_open_while_a_writer_has_it(file: Path, mode: str) -> None:
    assert is_open_for_writing(file) is False
    with file.open(mode):
        assert is_open_for_writing(file) is True
    assert is_open_for_writing(file) is False


def test_readers_are_no_writers(file: Path) -> None:
    with file.open("rb"):
        assert is_open_for_writing(file) is False


def test_a_writer_in_another_program_is_seen(file: Path) -> None:
    code = f"f = open({str(file)!r}, 'a'); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as program:
        assert program.stdout is not None
        program.stdout.readline()
        assert is_open_for_writing(file) is True
        program.communicate(b"\n")
    assert is_open_for_writing(file) is False


def test_what_cannot_be_told_is_not_guessed(tmp_path: Path) -> None:
    assert is_open_for_writing(tmp_path / "missing") is None
    assert is_open_for_writing(tmp_path) is None
    os.mkfifo(tmp_path / "pipe")
    assert is_open_for_writing(tmp_path / "pipe") is None


def test_no_descriptor_stays_open(file: Path) -> None:
    for _ in range(10):
        is_open_for_writing(file)
    assert str(file) not in open_files().values()
    with file.open():
        assert str(file) in open_files().values()


def test_a_writer_that_comes_in_between_does_not_end_the_process(file: Path) -> None:
    # The signal of a broken lease would, were it the usual one.
    code = (
        "import sys\nwith open(sys.argv[1], 'a') as f: pass\n"
        "for _ in range(2000):\n  with open(sys.argv[1], 'a') as f: f.write('x')\n"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(file)]) as program:
        while program.poll() is None:
            is_open_for_writing(file)
    assert program.returncode == 0
    assert len(file.read_text()) == 2004
