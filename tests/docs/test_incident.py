"""The walk through an incident, typed as it is printed."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import anyio
import pytest
from support.commands import REPOSITORY, command, environment
from support.waiting import eventually

from eventstore import EventStore
from projections.rules.fleet import read_fleet

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLOCK = re.compile(r"<!-- incident -->\n```bash\n(.*?)```", re.DOTALL)


@contextmanager
def shell(cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Start a shell with the ``eventstore`` and ``python`` of the tests; end what it began."""
    programs = cwd / "bin"
    programs.mkdir()
    for name, words in {"eventstore": command(), "python": [sys.executable]}.items():
        (programs / name).write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
        (programs / name).chmod(0o755)
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail"],
        cwd=cwd,
        env=environment(PATH=f"{programs}{os.pathsep}{os.environ['PATH']}"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def typed(process: subprocess.Popen[str], block: str) -> str:
    """Type a block of commands; return what they print."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(f"{block}\necho; echo END\n")
    process.stdin.flush()
    said: list[str] = []
    for line in process.stdout:
        if line == "END\n":
            return "".join(said)
        said.append(line)
    raise AssertionError(f"the shell ended: {''.join(said)}")


async def all_confirm(url: str, workers: int) -> None:
    """Return once so many workers run what the log has."""

    async def so() -> bool:
        async with EventStore.open(url) as store:
            return (await read_fleet(store)).counts().get("current") == workers

    await eventually(so)


@pytest.mark.slow
def test_the_walk_through_leads_from_the_bad_rule_back_to_the_good_one(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "config" / "rules" / "ttp", tmp_path / "config" / "rules" / "ttp")
    (tmp_path / "examples").mkdir()
    shutil.copy(REPOSITORY / "examples" / "engine.py", tmp_path / "examples")
    blocks = BLOCK.findall((REPOSITORY / "docs" / "incident.md").read_text())
    said: list[str] = []
    with shell(tmp_path) as process:
        for block in blocks:
            said.append(typed(process, block))
            anyio.run(all_confirm, f"sqlite:///{tmp_path}/eventstore.db", 3)
    begin, fleet, bad, diff, who, back, after = said
    assert "16 defined" in begin
    assert "3 workers: 3 current" in fleet
    assert "1 defined, 0 removed, 0 rejected, 15 unchanged" in bad
    assert "-    - {field: process.command_line, regex:" in diff
    assert "ana" in who
    assert re.search(r"worker-3 +has +current", who)
    assert "R1001: restored by 1 event" in back
    assert "unchanged since position 19" in after
    assert "3 workers: 3 current" in after
