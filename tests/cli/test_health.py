"""Whether workers and masters are well, as health checks of containers and people ask it."""

from __future__ import annotations

import fcntl
import json
import os
from typing import TYPE_CHECKING

import pytest
from support.commands import make_log
from support.in_process import in_process
from support.master import fill, ttp
from support.postgres import shared_server
from support.redis import private_redis
from support.waiting import wait_until

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


def test_a_projection_that_fails_is_told_until_its_process_is_gone(
    run: Run, start: Start, tmp_path: Path
) -> None:
    def told() -> list[dict[str, str]]:
        found: list[dict[str, str]] = json.loads(run("status", "--json").stdout)["projections"]
        return found

    assert run("state", "R1", "disabled").returncode == 0
    live = tmp_path / "live"
    project = start("project", "live")
    wait_until((live / ".eventstore.json").exists)
    assert told() == []
    live.rename(tmp_path / "elsewhere")
    live.touch()
    wait_until(told)
    shown = run("status", "--strict")
    assert shown.returncode == 1
    assert f"projection directory in {live}: fails and is tried again by " in shown.stdout
    assert f"error: projections 'directory in {live}': " in shown.stderr
    project.process.kill()
    project.process.wait()
    assert told() == []


NOTES = {
    "deep": b'{"x":' + b"[" * 60_000,
    "no text": b"\xff\xfe" * 40,
    "no object": b"[1, 2]",
    "large": b'"' + b"x" * 100_000 + b'"',
    "half": b'{"projection":"a","place":"b","own',
    "steering": b'{"projection":"a\\u001b[31m","place":"[red]","owner":"o\\u202e",'
    b'"reason":"r\\nx"}',
}


@pytest.mark.parametrize("note", NOTES)
@pytest.mark.parametrize("kind", ["projection", "source"])
def test_a_foreign_note_of_a_lock_beside_the_log_is_shown_plain_or_not_at_all(
    tmp_path: Path, kind: str, note: str
) -> None:
    run = in_process(tmp_path)
    assert run("state", "R1", "disabled").returncode == 0
    with (tmp_path / f"eventstore.db-{kind}-0123456789abcdef").open("wb") as file:
        file.write(NOTES[note])
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        for words in (["status"], ["--json", "status"]):
            done = run(*words)
            assert (done.returncode, done.stderr) == (0, "")
            assert not {"\x1b", "\u202e"} & set(done.stdout)
        json.loads(done.stdout)
        assert ("[red]" in done.stdout) == ((kind, note) == ("projection", "steering"))


@pytest.mark.parametrize("place", ["fifo", "link", "directory"])
def test_what_stands_in_the_place_of_a_lock_beside_the_log_is_passed_over(
    tmp_path: Path, place: str
) -> None:
    run = in_process(tmp_path)
    assert run("state", "R1", "disabled").returncode == 0
    path = tmp_path / "eventstore.db-projection-0123456789abcdef"
    if place == "fifo":
        os.mkfifo(path)
    elif place == "link":
        path.symlink_to("/etc/passwd")
    else:
        path.mkdir()
    done = run("status")
    assert (done.returncode, done.stderr) == (0, "")
