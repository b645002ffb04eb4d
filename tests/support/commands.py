"""The command line run as a user runs it: as a process of its own."""

from __future__ import annotations

import asyncio
import os
import pty
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from eventstore import EventStore
from support import forked
from support.waiting import DEADLINE

REPOSITORY = Path(__file__).resolve().parents[2]

SAMPLES = REPOSITORY / "config" / "rules" / "ttp"

PATH = f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"

Run = Callable[..., subprocess.CompletedProcess[str]]


LOG: dict[str, str] = {}
"""The variable that names the log, where a test has commands use another than their own."""


def environment(**extra: str) -> dict[str, str]:
    clean = {name: value for name, value in os.environ.items() if "EVENTSTORE" not in name}
    return {**clean, "PYTHONPATH": PATH, "NO_COLOR": "1", **LOG, **extra}


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "eventstore.cli", *words]


def runner(cwd: Path, **variables: str) -> Run:
    """Return what runs a command in an interpreter of its own: packages are found at its start."""

    def run_command(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*words),
            cwd=cwd,
            env=environment(**variables, **extra),
            capture_output=True,
            text=True,
            check=False,
        )

    return run_command


def refused(run: Run, *words: str) -> str:
    """Run a command that has to fail with one line; return that line."""
    done = run(*words)
    assert (done.returncode, done.stdout) == (1, ""), done
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    return done.stderr


def on_terminal(words: Sequence[str], cwd: Path, said: bytes = b"") -> tuple[int, str]:
    """Run a command at a terminal where the user types ``said``; return its status and stderr."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        command(*words), cwd=cwd, env=environment(TERM="xterm"), stdin=slave, stderr=slave,
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    os.close(slave)
    os.write(master, said)
    shown = b""
    try:
        while chunk := os.read(master, 65536):
            shown += chunk
    except OSError:  # Linux says so when the last writer has closed the terminal.
        pass
    os.close(master)
    return process.wait(DEADLINE), shown.decode()


def log_of_samples(run: Run, directory: Path) -> Path:
    """Make the default log of the sample rules, one of which is removed again; return its path."""
    rules = directory / "rules"
    shutil.copytree(SAMPLES, rules)
    assert run("sync", "rules", "--once").returncode == 0
    (rules / "encoded_powershell.yml").unlink()
    assert run("sync", "rules", "--once").returncode == 0
    return directory / "eventstore.db"


def make_log(url: str) -> None:
    """Make an empty log, as ``init`` does: commands that read make none."""

    async def make() -> None:
        async with EventStore.open(url, notify="none"):
            pass

    asyncio.run(make())


class Running:
    """A command in the background, whose lines are read one at a time."""

    def __init__(self, words: Sequence[str], cwd: Path) -> None:
        self.process: subprocess.Popen[str] = forked.start(
            command(*words),
            cwd=cwd,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def line(self) -> str:
        """Wait for the next line of output; the test's own timeout is the deadline."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            raise AssertionError(f"the command ended: {self.process.stderr.read()}")
        return line.rstrip("\n")

    def lines_until(self, text: str) -> list[str]:
        """Read lines up to and including the first that contains ``text``."""
        lines = [self.line()]
        while text not in lines[-1]:
            lines.append(self.line())
        return lines

    def interrupt(self) -> int:
        """Press Ctrl-C and wait for the end."""
        self.process.send_signal(2)
        return self.process.wait(DEADLINE)
