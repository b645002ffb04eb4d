"""Whether workers and masters are well, as health checks of containers and people ask it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.commands import make_log
from support.master import fill, ttp
from support.postgres import shared_server
from support.redis import private_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.commands import Run, Running
    from support.redis import RedisServer

    Start = Callable[..., Running]


@pytest.fixture
def worker(run: Run, start: Start) -> Running:
    """Run a worker that has done what there is."""
    assert run("state", "R1", "disabled").returncode == 0
    worker = start("tail", "--consumer", "w")
    worker.lines_until("disabled")
    assert run("wait", "--consumer", "w").returncode == 0
    return worker


def test_a_worker_that_keeps_up_is_well(run: Run, worker: Running) -> None:
    done = run("status", "--consumer", "w", "--within", "5")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("consumer w: position 1, up to date, seen ")
    (shown,) = run("--json", "status", "--consumer", "w").stdout.splitlines()
    assert json.loads(shown)["lag"] == 0


def test_a_worker_whose_process_is_gone_is_not(run: Run, worker: Running) -> None:
    worker.process.kill()
    worker.process.wait()
    done = run("status", "--consumer", "w")
    assert done.returncode == 1
    assert done.stderr.startswith("error: consumer 'w': its process ")
    assert done.stderr.endswith(f":{worker.process.pid} is gone\n")


def test_a_worker_that_was_never_there_is_named(run: Run, worker: Running) -> None:
    done = run("status", "--consumer", "v", "--consumer", "w", "--source", "rules")
    assert done.returncode == 1
    assert done.stdout.startswith("consumer w: ")
    assert done.stderr == (
        "error: consumer 'v' was never seen; source 'rules' is followed by no master\n"
    )


def test_a_master_is_well_while_it_follows_what_it_can_read(
    run: Run, start: Start, tmp_path: Path
) -> None:
    fill(tmp_path / "rules", {"A.yml": ttp("A")})
    master = start("up", "--rules", "rules", "--source", "rules")
    master.lines_until("added")
    done = run("status", "--source", "rules")
    assert done.returncode == 0
    assert done.stdout.startswith("source rules: followed by ")
    assert master.interrupt() == 0
    done = run("status", "--source", "rules")
    assert (done.returncode, done.stderr) == (1, "error: source 'rules' is followed by no master\n")


def test_wait_without_a_position_is_for_everything_so_far(run: Run, worker: Running) -> None:
    assert run("state", "R1", "enabled").returncode == 0
    done = run("wait", "--consumer", "w")
    assert (done.returncode, done.stdout) == (0, "position 2 is done by w\n")
    worker.process.kill()
    worker.process.wait()
    assert run("state", "R1", "disabled").returncode == 0
    late = run("wait", "--timeout", "0")
    assert late.returncode == 1
    assert late.stderr == "error: position 3 is not done after 0 s: w is at 2\n"


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Run a server that asks for a password."""
    with private_redis("--requirepass", "secret") as server:
        yield server


@pytest.mark.usefixtures("empty_log")
def test_status_says_whether_redis_lets_it_in(run: Run, redis: RedisServer) -> None:
    right = redis.url.replace("//", "//:secret@")
    done = run("--json", "status", EVENTSTORE_NOTIFY=right)
    facts = json.loads(done.stdout)
    assert (facts["listening"], facts.get("trouble")) == (1, None)
    assert done.stderr == ""
    done = run("--json", "status", EVENTSTORE_NOTIFY=right.replace("secret", "guess"))
    facts = json.loads(done.stdout)
    assert (done.returncode, facts["listening"]) == (0, 0)
    assert facts["trouble"].endswith("mend user and password in the notifier's URL")
    assert "guess" not in done.stdout + done.stderr


def test_status_says_whether_postgresql_wakes(run: Run) -> None:
    url = shared_server().fresh_schema()
    make_log(url)
    done = run("--json", "status", EVENTSTORE_URL=url)
    facts = json.loads(done.stdout)
    assert (facts["notifier"], facts["listening"]) == ("postgres", 1)


@pytest.mark.usefixtures("empty_log")
@pytest.mark.parametrize("command", [["state", "R1", "disabled"], ["tail", "--no-follow"]])
def test_a_redis_that_refuses_is_one_line_and_no_failure(
    run: Run, redis: RedisServer, command: list[str]
) -> None:
    done = run(*command, EVENTSTORE_NOTIFY=redis.url)
    assert done.returncode == 0
    lines = done.stderr.splitlines()
    assert len(lines) == (1 if command[0] == "state" else len(lines))
    assert all("mend user and password in the notifier's URL" in line for line in lines)
