"""``rules keep``: the last good copy on the command line, beside a real server that is killed."""

from __future__ import annotations

import json
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.commands import command, environment
from support.in_process import in_process
from support.network import HOST, free_port
from support.rule_events import definition_data

from eventstore import NewEvent
from eventstore.sync import EventStore

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.commands import Run


def define(log: str, rule_id: str) -> None:
    with EventStore.open(log) as store:
        event = NewEvent("RuleDefined", definition_data(rule_id, f"{rule_id}.yml"))
        store.append(f"rule/{rule_id}", [event])


@contextmanager
def running(directory: Path, *words: str, **variables: str) -> Iterator[subprocess.Popen[str]]:
    """Run a command for the block, and kill it then."""
    process = subprocess.Popen(
        command(*words, "--json"),
        cwd=directory,
        env=environment(**variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def said(process: subprocess.Popen[str]) -> dict[str, Any]:
    """Return the next value that a command prints."""
    assert process.stdout is not None
    found: dict[str, Any] = json.loads(process.stdout.readline())
    return found


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return in_process(tmp_path)


@pytest.mark.slow
def test_a_copy_is_kept_and_starts_while_its_server_is_killed(tmp_path: Path, run: Run) -> None:
    log, port = f"sqlite:///{tmp_path}/log.db", free_port()
    define(log, "R1")
    serve = ("serve", "--url", log, "--listen", f"{HOST}:{port}", "--anonymous-read")
    keep = ("rules", "keep", "copy", "--url", f"http://{HOST}:{port}")
    with running(tmp_path, *serve) as server, running(tmp_path, *keep) as kept:
        assert said(server)["url"]
        begun = said(kept)
        assert (begun["rules"], begun["position"], begun["trouble"]) == (1, 1, "")
        define(log, "R2")
        assert said(kept) == {"position": 2, "rule_id": "R2", "now": "defined"}
    checked = run("rules", "keep", "copy", "--check")
    assert checked.returncode == 0
    assert "has 2 rules of position 2, equal to the log " in checked.stdout
    assert run("rules", "keep", "copy", "--check", "--within", "0").returncode == 1
    listed = run("rules", "--from", "copy/rules", "--json").stdout.splitlines()
    assert [json.loads(line)["rule_id"] for line in listed] == ["R1", "R2"]
    # No server is there: it starts with what it has, and follows once there is a server.
    with running(tmp_path, *keep) as kept:
        again = said(kept)
        assert (again["rules"], again["position"]) == (2, 2)
        assert kept.stderr is not None
        while "cannot be reached" not in kept.stderr.readline():
            assert kept.poll() is None
        with running(tmp_path, *serve):
            define(log, "R3")
            assert said(kept)["rule_id"] == "R3"


def test_without_a_copy_and_without_a_log_it_says_so(run: Run) -> None:
    absent = run("rules", "keep", "copy", "--check")
    assert (absent.returncode, absent.stdout) == (1, "")
    assert absent.stderr == (
        "error: copy: no copy of the rules yet: 'eventstore rules keep' makes one\n"
    )
    assert "no log at" in run("rules", "keep", "copy").stderr
    assert run("rules", "keep", "copy", "--within", "3").returncode == 2
