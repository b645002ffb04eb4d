"""Runs commands in a fork each, and writes what each ended with and which modules it imported.

Takes the commands' words as JSON and the file to write. What all commands import is imported once,
before the forks.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import anyio._backends._asyncio  # noqa: F401

from eventstore.cli import app, main  # noqa: F401


def run(words: list[str], target: Path) -> None:
    sys.argv = ["eventstore", *words]
    status: object = None
    try:
        main()
    except SystemExit as end:
        status = end.code
    target.write_text(json.dumps([status, sorted(sys.modules)]))


def in_fork(words: list[str], target: Path) -> list[object]:
    child = os.fork()
    if child == 0:
        try:
            run(words, target)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    found: list[object] = json.loads(target.read_text())
    return found


def main_program() -> None:
    target = Path(sys.argv[2])
    found = [in_fork(words, target) for words in json.loads(sys.argv[1])]
    target.write_text(json.dumps(found))


if __name__ == "__main__":
    main_program()
