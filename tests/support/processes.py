"""Other processes on the same log: programs of the tests' own, spoken to by lines."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from random import Random
from typing import IO, TYPE_CHECKING, Any

from support import forked
from support.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ROOT = Path(__file__).parent.parent.parent


def words(program: str, *arguments: object) -> list[str]:
    """Name the command that runs ``programs/PROGRAM.py`` with these arguments, as texts."""
    return [sys.executable, "-m", f"programs.{program}", *map(str, arguments)]


def environment() -> dict[str, str]:
    """Return variables with which a program finds what the tests import."""
    return {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}


def start(program: str, *arguments: object, **settings: Any) -> subprocess.Popen[Any]:
    """Start a program; the settings are those of ``subprocess.Popen``."""
    settings = {"env": environment(), **settings}
    return forked.start(words(program, *arguments), **settings)


def run(program: str, *arguments: object, **settings: Any) -> subprocess.CompletedProcess[Any]:
    """Run a program to its end; the settings are those of ``support.forked.run``."""
    settings = {"env": environment(), **settings}
    return forked.run(words(program, *arguments), **settings)


@contextmanager
def child(
    program: str, *arguments: object, stderr: IO[bytes] | None = None
) -> Iterator[subprocess.Popen[str]]:
    """Run a program with pipes for its lines; kill it at the end."""
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr}
    process = start(program, *arguments, text=True, **pipes)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def stop(process: subprocess.Popen[Any]) -> None:
    """Stop a process by a signal, and return once each of its threads stands still."""
    process.send_signal(signal.SIGSTOP)
    threads = Path(f"/proc/{process.pid}/task")

    def states() -> set[str]:
        texts = [(one / "stat").read_text() for one in threads.iterdir()]
        return {text.rpartition(")")[2].split()[0] for text in texts}

    wait_until(lambda: states() == {"T"})


def lines(process: subprocess.Popen[str]) -> Iterator[str]:
    """Yield what the process says, until it ends."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line.rstrip("\n")


def wait_for(process: subprocess.Popen[str], word: str) -> None:
    """Return once the process has said a line; fail if it ends without."""
    for line in lines(process):
        if line == word:
            return
    raise AssertionError(f"the process ended without saying {word!r}")


def lines_of_two(program: str, url: str, folder: Path, *arguments: object) -> list[str]:
    """Run a program twice at the same time, as ``left`` and ``right``; return all their lines."""
    outputs = [folder / name for name in ("left", "right")]
    running = []
    for path in outputs:
        with path.open("wb") as output:
            running.append(start(program, url, path.name, *arguments, stdout=output))
    for process in running:
        assert process.wait() == 0
    return [line for path in outputs for line in path.read_text().splitlines()]


def lines_until_killed(count: int, program: str, *arguments: object) -> list[str]:
    """Run a program until it has said so many lines, kill it, and return its whole lines.

    The kill comes while the program goes on, so that it may have said more by then. The last
    line is left out, since the kill may have cut it.
    """
    said: list[str] = []
    with child(program, *arguments) as process:
        for line in lines(process):
            said.append(line)
            if len(said) == count:
                process.kill()
    assert len(said) >= count, f"{program} ended after {len(said)} lines: {said[-3:]}"
    return said[:-1]


def killed_runs(
    rounds: int, most: int, words_of: Callable[[int], Sequence[object]]
) -> Iterator[list[str]]:
    """Run a program so many times, each until it has said 1 to ``most`` lines and is killed.

    ``words_of`` gives the program and its arguments by the number of the run. Yields the whole
    lines of each run.
    """
    random = Random(rounds)
    for number in range(rounds):
        program, *arguments = words_of(number)
        yield lines_until_killed(random.randint(1, most), str(program), *arguments)
