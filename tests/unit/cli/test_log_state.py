"""What ``init``, ``status`` and ``trim`` say of a log that is another's copy, or of its clock."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

from support.logs import some

from eventstore import EventStore
from eventstore.testing import FakeClock

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run

CENTURY_US = 100 * 365 * 86_400_000_000
AHEAD = re.compile(r"recorded times are \d+ d\w* ahead of the clock, which was once set ahead")


def append_ahead(tmp_path: Path) -> None:
    """Make a log whose third event was recorded by a clock that was set a century ahead."""

    async def append() -> None:
        clock = FakeClock()
        async with EventStore.open(f"sqlite:///{tmp_path}/eventstore.db", clock=clock) as store:
            await store.append("a/1", some(2))
            clock.now_us += CENTURY_US
            await store.append("a/1", some(1))

    asyncio.run(append())


def test_init_gives_a_log_a_new_incarnation(run: Run, empty_log: None) -> None:
    run("append", "a/1", "Happened", "1")
    before = json.loads(run("status", "--json").stdout)
    found = []
    for _ in range(2):
        done = run("init", "--new-incarnation", "--json")
        assert done.returncode == 0, done.stderr
        answer = json.loads(done.stdout)
        assert answer["position"] == 1
        found.append(answer["incarnation"])
    assert all(found)
    assert found[0] != found[1]
    assert json.loads(run("status", "--json").stdout)["log_id"] == before["log_id"]
    said = run("init", "--new-incarnation").stdout
    assert "has a new incarnation: restart the programs that use it" in said
    assert run("verify").returncode == 0


def test_status_says_that_recorded_times_are_ahead(run: Run, tmp_path: Path) -> None:
    append_ahead(tmp_path)
    done = run("status")
    assert AHEAD.search(done.stdout), done.stdout
    assert "trim by a position" in done.stdout
    assert json.loads(run("status", "--json").stdout)["recorded_ahead_seconds"] > 0


def test_trim_says_that_recorded_times_are_ahead(run: Run, tmp_path: Path) -> None:
    append_ahead(tmp_path)
    for more in (["--dry-run"], []):
        done = run("trim", "--before", "1d", *more)
        assert done.returncode == 0, done.stderr
        assert AHEAD.search(done.stdout), done.stdout
        assert "so give a position" in done.stdout
    assert json.loads(run("status", "--json").stdout)["first_position"] == 3


def test_a_log_with_a_right_clock_has_no_word_of_it(run: Run, empty_log: None) -> None:
    run("append", "a/1", "Happened", "1")
    said = run("status").stdout + run("trim", "--before", "1d", "--dry-run").stdout
    assert "ahead" not in said
