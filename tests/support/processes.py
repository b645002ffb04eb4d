"""Other processes on the same log: started from small programs, spoken to by lines."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent.parent
PRELUDE = """
import asyncio, sys
from eventstore import *
url, arguments = sys.argv[1], sys.argv[2:]
def say(*words):
    print(*words, flush=True)
"""


@contextmanager
def child(program: str, url: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run ``async def main()`` of a program in a process of its own; kill it at the end.

    The program finds ``url``, ``arguments`` (texts), ``say`` and all public names.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", PRELUDE + program + "\nasyncio.run(main())", url]
        + [str(argument) for argument in arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


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
