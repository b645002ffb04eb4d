"""Commands run within the test's own process: many of them cost little."""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import TYPE_CHECKING, NamedTuple
from unittest import mock

from eventstore.cli.app import run_program

if TYPE_CHECKING:
    from pathlib import Path


class Done(NamedTuple):
    """What a command has printed, and its exit status."""

    status: int
    stdout: str
    stderr: str


def run_here(*words: str, cwd: Path, **variables: str) -> Done:
    """Run a command to its end in ``cwd``; what ``sys.exit`` is given is its status."""
    clean = {name: value for name, value in os.environ.items() if "EVENTSTORE" not in name}
    out, err = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    with (
        contextlib.chdir(cwd),
        mock.patch.object(sys, "argv", ["eventstore", *words]),
        mock.patch.dict(os.environ, {**clean, **variables}, clear=True),
        mock.patch.multiple(sys, stdout=out, stderr=err),
    ):
        try:
            run_program()
        except SystemExit as end:
            status = end.code
    assert isinstance(status, int)
    return Done(status, *(_text(stream) for stream in (out, err)))


def _text(stream: io.TextIOWrapper) -> str:
    buffer = stream.buffer
    assert isinstance(buffer, io.BytesIO)
    return buffer.getvalue().decode()
