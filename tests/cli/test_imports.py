"""A command imports what it uses, for each start pays for all that is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest
from support.commands import SAMPLES, environment

if TYPE_CHECKING:
    from pathlib import Path

HEAVY: Final = {
    "email", "hypothesis", "opentelemetry", "pgparse", "psycopg", "pydantic", "pygments", "re2",
    "redis", "rich", "sigma", "sqlalchemy", "textual", "trio", "watchfiles", "yaml",
}  # fmt: skip

NEEDED: Final[dict[str, set[str]]] = {
    "init": set(),
    "append a/1 Placed": set(),
    "status": set(),
    "status --json": set(),
    "tail --no-follow --after 0": set(),
    "history a/1": set(),
    "streams --json": set(),
    "project --once live": set(),
    f"sync --once {SAMPLES}": {"yaml"},
    "rules": {"rich"},
    "verify": {"email", "sqlalchemy"},
}
"""Commands, run in this order, and the heavy packages that each may import: a table needs rich,
and the checks of the tables of a SQL storage need SQLAlchemy, which imports email."""


@pytest.mark.slow
def test_a_command_imports_no_heavy_package_that_it_does_not_need(tmp_path: Path) -> None:
    target = tmp_path / "imports.json"
    words = json.dumps([command.split() for command in NEEDED])
    subprocess.run(
        [sys.executable, "-m", "programs.command_imports", words, str(target)],
        env=environment(),
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        check=True,
    )
    found = json.loads(target.read_text())
    assert [status for status, _ in found] == [0] * len(NEEDED)
    imported = {
        command: HEAVY & {name.partition(".")[0] for name in modules}
        for command, (_, modules) in zip(NEEDED, found, strict=True)
    }
    assert imported == NEEDED
