"""Fixtures that run commands, to their end or in the background."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from support import forked
from support.commands import Run, Running, command, environment, make_log

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command to its end in an empty working directory."""

    def run_command(*words: str, **extra: str) -> subprocess.CompletedProcess[str]:
        return forked.run(
            command(*words),
            cwd=tmp_path,
            env=environment(**extra),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run_command


@pytest.fixture
def empty_log(tmp_path: Path) -> None:
    """Make the log that commands use by default."""
    make_log(f"sqlite:///{tmp_path}/eventstore.db")


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Start commands in the background; those that still run at the end are killed."""
    running: list[Running] = []

    def start_command(*words: str, cwd: Path = tmp_path) -> Running:
        running.append(Running(words, cwd))
        return running[-1]

    yield start_command
    for one in running:
        one.process.kill()
        one.process.communicate()
