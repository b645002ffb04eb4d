"""What would be lost for good is asked about on a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.commands import on_terminal

if TYPE_CHECKING:
    from support.commands import Run


pytestmark = pytest.mark.slow


@pytest.fixture
def three(run: Run) -> None:
    """Make a log of three events."""
    for _ in range(3):
        run("append", "order/1", "Noted", '{"secret": 1}')


@pytest.mark.usefixtures("three")
def test_trim_and_redact_ask_on_a_terminal(run: Run, tmp_path: Path) -> None:
    trim = ["trim", "--before", "3"]
    for words in (trim, ["redact", "1", "--reason", "x"]):
        status, shown = on_terminal(words, tmp_path, b"\n")
        assert status == 1
        assert "[y/N]" in shown
        assert "nothing was changed" in shown
    facts = json.loads(run("status", "--json").stdout)
    assert (facts["first_position"], facts["position"]) == (1, 3)
    status, shown = on_terminal(trim, tmp_path, b"y\n")
    assert status == 0
    assert json.loads(run("status", "--json").stdout)["first_position"] == 3
    status, shown = on_terminal(["redact", "3", "--reason", "x", "--yes"], tmp_path, b"")
    assert (status, "[y/N]" in shown) == (0, False)
