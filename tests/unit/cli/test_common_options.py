"""Settings files that are none, and options and errors before and after a command's name."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"


@pytest.fixture
def some(run: Run) -> None:
    """Make a log of one event."""
    assert run("append", "order/1", "Noted", '{"text": "Ω"}').returncode == 0


def test_a_settings_file_that_is_none_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "binary").write_bytes(bytes(range(256)))
    (tmp_path / "latin").write_bytes(b'url = "sqlite:///\xfc.db"')
    for file in ("config", "binary", "latin", "missing", ""):
        done = run("status", EVENTSTORE_CONFIG=file)
        assert done.returncode == 1
        assert done.stderr.startswith("error: settings file ")
        assert done.stderr.count("\n") == 1


@pytest.mark.usefixtures("some")
@pytest.mark.parametrize(
    "words",
    [["history", "a/1"], ["append", "order/1", "X", "--expected", "7"], ["tail", "--after", "9"],
     ["nonsense"], ["state", "R1", "clipped"], ["tail", "--after", "x"]],
)  # fmt: skip
def test_errors_are_json_before_and_after_the_command(run: Run, words: list[str]) -> None:
    for line in (["--json", *words], [*words, "--json"]):
        done = run(*line)
        (error,) = [json.loads(one) for one in done.stderr.splitlines()]
        assert sorted(error) == ["fields", "message", "type"]
        assert error["message"]
    if words[0] == "append":
        assert error["type"] == "ConflictError"
        assert error["fields"] == {"stream": "order/1", "expected": 7, "actual": 1}


@pytest.mark.usefixtures("some")
def test_common_options_work_before_and_after_the_command(run: Run, tmp_path: Path) -> None:
    for words in (["streams"], ["tail", "--no-follow"], ["status"], ["verify"]):
        for line in (["-v", *words], [*words, "-v"], [*words, "--verbose"]):
            said = run(*line).stderr.splitlines()
            assert len(said) >= 2
            assert all(re.match(TIME + " INFO ", one) for one in said)
        assert run(*words).stderr == ""
    other = "sqlite:///other.db"
    for line in (["--url", other, "append", "a/1", "X"], ["append", "a/1", "X", "--url", other]):
        assert run(*line).returncode == 0
    assert (tmp_path / "other.db").exists()


def test_warnings_are_json_where_the_output_is(run: Run) -> None:
    done = run("init", "--json", EVENTSTORE_URLS="x")
    warning = json.loads(done.stderr)
    assert warning["level"] == "WARNING"
    assert "EVENTSTORE_URLS" in warning["message"]
    assert re.match(r"\d{4}-\d\d-\d\dT.*\+00:00", warning["time"])
