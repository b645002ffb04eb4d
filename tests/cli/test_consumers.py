"""Commands that wait for consumers and logs, and end with them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from support.commands import make_log
from support.waiting import DEADLINE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.commands import Run, Running

    Start = Callable[..., Running]


def test_a_worker_whose_consumer_is_removed_ends_with_one_line(run: Run, start: Start) -> None:
    assert run("state", "R1", "disabled").returncode == 0
    worker = start("tail", "--consumer", "w")
    worker.lines_until("disabled")
    assert run("consumers", "remove", "w").returncode == 0
    assert worker.process.wait(DEADLINE) == 1
    assert worker.process.stderr is not None
    assert worker.process.stderr.read() == (
        "error: consumer 'w' was removed: open it again to begin anew\n"
    )
    assert run("consumers", "--json").stdout == ""


def test_a_consumer_that_is_not_known_yet_is_waited_for(run: Run, start: Start) -> None:
    assert run("state", "R1", "disabled").returncode == 0
    late = run("wait", "--consumer", "w", "--timeout", "0.2")
    assert (late.returncode, late.stderr) == (
        1,
        "error: position 1 is not done after 0.2 s: w was never seen\n",
    )
    waiting = start("wait", "--consumer", "w", "--timeout", "60")
    assert run("tail", "--no-follow", "--consumer", "w").returncode == 0
    assert waiting.line() == "position 1 is done by w"
    assert waiting.process.wait(DEADLINE) == 0


def test_tail_and_project_wait_for_a_log_that_is_not_there_yet(
    run: Run, start: Start, tmp_path: Path
) -> None:
    done = run("tail", "--no-follow", "--wait-for-log", "0.3")
    assert (done.returncode, done.stderr) == (1, f"error: no log at {tmp_path}/eventstore.db\n")
    tail = start("tail", "--wait-for-log", "60", "--json")
    project = start("project", "live", "--once", "--wait-for-log", "60")
    # Both look for the log every 200 ms, and leave nothing in its place.
    assert list(tmp_path.iterdir()) == []
    make_log(f"sqlite:///{tmp_path}/eventstore.db")
    assert run("state", "R1", "disabled").returncode == 0
    assert json.loads(tail.line())["position"] == 1
    assert project.line().startswith("live is at position ")
    assert project.process.wait(DEADLINE) == 0
