"""A process that the fork server starts is like one of a new interpreter."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.forked import VARIABLE
from support.processes import child, environment, lines, run, start

if TYPE_CHECKING:
    from pathlib import Path

PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}


@pytest.fixture(params=["fork", "exec"], autouse=True)
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes in both ways."""
    monkeypatch.setenv(VARIABLE, request.param)


def test_it_has_its_own_arguments_directory_variables_and_streams(tmp_path: Path) -> None:
    variables = {**environment(), "MIRROR": "mirrored"}
    done = run("mirror", 3, "a b", said="hello\n", cwd=tmp_path, env=variables, **PIPES)
    assert done.returncode == 3
    assert done.stdout.splitlines() == ["3 a b", str(tmp_path), "mirrored", "hello"]
    assert done.stderr == "to standard error\n"


def test_a_signal_that_ended_it_is_its_status() -> None:
    with child("mirror", 0) as process:
        assert next(lines(process)) == "0"
        process.send_signal(signal.SIGTERM)
        assert process.wait() == -signal.SIGTERM


def test_waiting_for_one_that_goes_on_times_out() -> None:
    with child("mirror", 0) as process:
        assert process.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.01)


def test_an_error_is_told_as_an_interpreter_tells_it() -> None:
    done = run("mirror", "no number", said="\n", **PIPES)
    assert done.returncode == 1
    assert done.stderr.startswith("to standard error\nTraceback")
    assert "invalid literal for int()" in done.stderr


def test_it_may_have_a_session_of_its_own() -> None:
    process = start("mirror", 0, stdin=subprocess.PIPE, start_new_session=True, **PIPES)
    with process:
        assert process.stdout is not None
        process.stdout.readline()  # It runs, so that the session is there.
        assert os.getsid(process.pid) == process.pid
