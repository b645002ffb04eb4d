"""Fixtures that run commands within the test's own process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.commands import make_log
from support.in_process import in_process

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command to its end in an empty working directory; a file that is gone is gone at once.

    How long a master waits for such a file is tested with a clock of the test's own.
    """
    return in_process(tmp_path, EVENTSTORE_RULES_HASTY_SETTLE_SECONDS="0.01")


@pytest.fixture
def empty_log(tmp_path: Path) -> None:
    """Make the log that commands use by default."""
    make_log(f"sqlite:///{tmp_path}/eventstore.db")
