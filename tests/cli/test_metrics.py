"""A command that runs on shows its metrics while it does."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from support.network import HOST

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Running

pytestmark = pytest.mark.slow


def test_up_shows_its_source_and_its_appends(tmp_path: Path, start: Callable[..., Running]) -> None:
    rules = tmp_path / "rules"
    rules.mkdir()
    (rules / "R1.yml").write_text("rule_id: [\n")
    up = start("up", "--rules", "rules", "--metrics", f"{HOST}:0")
    up.lines_until("rejected")
    assert up.process.stderr is not None
    said = up.process.stderr.readline()
    place = re.fullmatch(r"metrics are at (http://\S+/metrics)\n", said)
    assert place is not None, said
    text = httpx.get(place[1], timeout=60).text
    assert re.search(r'eventstore_source_rejected_files{source="[^"]*rules"} 1.0', text)
    assert re.search(r'eventstore_source_trouble{source="[^"]*rules"} 0.0', text)
    assert "eventstore_appends_total 1.0" in text
    assert re.search(r"eventstore_followers [1-9]", text)
    assert up.interrupt() == 0
