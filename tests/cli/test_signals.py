"""Ctrl-C and SIGTERM: how commands end, and what they leave."""

from __future__ import annotations

import json
import os
import pty
import random
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from support import forked
from support.commands import Running, command, environment
from support.master import fill, ttp

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Run

    Start = Callable[..., Running]

pytestmark = pytest.mark.slow

ENDS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]


def begin(words: list[str], cwd: Path, **streams: int) -> subprocess.Popen[str]:
    """Start a command with pipes where ``streams`` names nothing else."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE) | streams
    return forked.start(command(*words), cwd=cwd, env=environment(), text=True, **pipes)


def python(program: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own."""
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.promise("bad-input")
@pytest.mark.parametrize(("number", "status"), ENDS)
def test_a_one_shot_command_that_waits_ends_with_the_signals_status(
    run: Run, start: Start, tmp_path: Path, number: signal.Signals, status: int
) -> None:
    run("state", "R1", "disabled")
    waiting = start("wait", "1", "--consumer", "never", "--timeout", "600", "-v")
    assert waiting.process.stderr is not None
    while "the log is" not in waiting.process.stderr.readline():
        pass
    waiting.process.send_signal(number)
    assert waiting.process.wait(60) == status
    assert "Traceback" not in waiting.process.stderr.read()


@pytest.mark.parametrize("words", [["tail"], ["project", "live"], ["up", "--rules", "rules"]])
@pytest.mark.parametrize(("number", "status"), ENDS)
def test_a_follower_ends_with_0_whatever_it_rejected(
    run: Run, start: Start, tmp_path: Path, words: list[str], number: int, status: int
) -> None:
    fill(tmp_path / "rules", {"A.yml": ttp("A"), "B.yml": "no rule"})
    run("sync", "rules", "--once")
    follower = start(*words)
    follower.line()
    follower.process.send_signal(number)
    assert follower.process.wait(60) == 0
    assert follower.process.stderr is not None
    assert "Traceback" not in follower.process.stderr.read()


SLOW_IMPORT = """
import os, signal, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "eventstore.cli.app":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Finder())
from eventstore.cli import main
sys.argv = ["eventstore", *{words}]
main()
"""


@pytest.mark.parametrize(("number", "status"), ENDS)
@pytest.mark.parametrize("words", [["status"], ["tail"], ["export", "x"]])
def test_a_signal_during_the_start_is_heard(
    run: Run, tmp_path: Path, words: list[str], number: int, status: int
) -> None:
    run("state", "R1", "disabled")
    program = SLOW_IMPORT.format(number=int(number), words=words)
    done = python(program, tmp_path)
    assert (done.returncode, done.stderr) == (0 if words == ["tail"] else status, "")
    assert not (tmp_path / "x").exists()


def test_a_command_that_waits_for_stdin_ends_with_a_signal(tmp_path: Path) -> None:
    for words in (["import", "-"], ["append", "a/1", "Noted", "-"]):
        with begin([*words, "-v"], tmp_path) as process:
            assert process.stderr is not None
            while "the log is" not in process.stderr.readline():
                pass
            process.send_signal(signal.SIGTERM)
            # stdin stays open: what waits for it must not hold the process.
            assert process.wait(60) == 143, words
            assert "Traceback" not in process.stderr.read()


def test_a_command_whose_output_is_not_read_ends_with_a_signal(run: Run, tmp_path: Path) -> None:
    run("state", "R1", "disabled", "--reason", random.Random(1).randbytes(100_000).hex())
    for words in (["export", "-"], ["history", "R1", "--json"]):
        with begin(words, tmp_path) as process:
            assert process.stdout is not None
            os.read(process.stdout.fileno(), 1)  # It writes, and more than a pipe holds.
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 143, words
            assert process.stderr is not None
            assert process.stderr.read() == ""


def test_a_second_signal_ends_at_once(run: Run, tmp_path: Path) -> None:
    program = (
        "import os, signal\n"
        "from eventstore.cli import signals\n"
        "signals.install()\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('going on', flush=True)\n"
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('never', flush=True)\n"
    )
    done = python(program, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (130, "going on\n", "")


ON_TERMINAL = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that its Ctrl-C is a signal
from eventstore.cli import main
sys.argv[0] = "eventstore"
main()
"""


def test_ctrl_c_at_a_question_changes_nothing(run: Run, tmp_path: Path) -> None:
    run("state", "R1", "disabled", "--reason", "secret")
    for answer, status in ((b"\x03", 130), (b"n\n", 1), (b"y\n", 0)):
        master, slave = pty.openpty()
        process = subprocess.Popen(
            [sys.executable, "-c", ON_TERMINAL, "redact", "1", "--reason", "asked"],
            cwd=tmp_path, env=environment(), stdin=slave, stdout=subprocess.DEVNULL, stderr=slave,
            start_new_session=True,
        )  # fmt: skip
        os.close(slave)
        shown = b""
        while b"[y/N]" not in shown:
            shown += os.read(master, 4096)
        os.write(master, answer)
        assert process.wait(60) == status
        os.close(master)
        (line, *_) = run("tail", "--no-follow", "--json").stdout.splitlines()
        assert (json.loads(line)["data"] is None) == (status == 0)
