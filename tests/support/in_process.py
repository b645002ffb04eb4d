"""The command line run within this process, for tests that start none.

Everything from the words of the command line to the exit status is the program's own. What a
process of its own adds (signals, closed descriptors, terminals, start-up) is shown in tests/cli.
"""

from __future__ import annotations

import contextvars
import io
import logging
import os
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, TextIO
from unittest.mock import patch

import pytest

from eventstore.cli import event_lines, output
from eventstore.cli.app import run_program
from eventstore.system.secret_text import Secrets
from support.commands import command, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.commands import Run


def in_process(cwd: Path, **variables: str) -> Run:
    """Return what runs a command to its end here, as a process in the directory ``cwd`` would.

    ``said`` is what it reads from stdin.
    """

    def run_command(*words: str, said: str = "", **extra: str) -> subprocess.CompletedProcess[str]:
        standing = Path.cwd()
        os.chdir(cwd)
        try:
            with (
                _streams(said) as (out, err),
                _as_at_the_start(),
                patch.dict(os.environ, environment(**variables, **extra), clear=True),
                patch.object(sys, "argv", ["eventstore", *words]),
            ):
                status = contextvars.copy_context().run(_status)
        finally:
            os.chdir(standing)
        return subprocess.CompletedProcess(command(*words), status, _text(out), _text(err))

    return run_command


def _status() -> int:
    with pytest.raises(SystemExit) as end:
        run_program()
    assert isinstance(end.value.code, int), end.value.code
    return end.value.code


@contextmanager
def _streams(said: str) -> Iterator[tuple[TextIO, TextIO]]:
    """Let standard streams be a file with what is said, and two that are kept in memory."""
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2))
    with (
        TemporaryFile("w+", encoding="utf-8") as stdin,
        patch.object(sys, "stdin", stdin),
        patch.object(sys, "stdout", out),
        patch.object(sys, "stderr", err),
    ):
        stdin.write(said)
        stdin.seek(0)
        yield out, err


def _text(stream: TextIO) -> str:
    stream.seek(0)
    return stream.read()


@contextmanager
def _as_at_the_start() -> Iterator[None]:
    """Forget, as a new process would, what the program knew of; restore hooks and log handlers."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    with (
        patch.object(event_lines, "_describers", {}),
        patch.object(event_lines, "_failed", set()),
        patch.object(output, "_secrets", Secrets()),
        patch.object(threading, "excepthook", threading.excepthook),
    ):
        try:
            yield
        finally:
            root.handlers[:] = handlers
            root.setLevel(level)
