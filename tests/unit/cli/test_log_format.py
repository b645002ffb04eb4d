"""`--log-format json`: all that a command says on stderr is JSON, and none of it is a secret."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from eventstore.cli import output
from eventstore.errors import StorageError
from eventstore.system.secret_text import Secrets

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run

COMMON = ["level", "logger", "message", "time"]


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.mark.parametrize(
    "words",
    [["--log-format", "json", "append", "a/1", "X", "--expected", "7"],
     ["append", "a/1", "X", "--expected", "7", "--log-format=json", "--json"]],
)  # fmt: skip
def test_an_error_is_a_record_with_its_type_and_fields(
    run: Run, empty_log: None, words: list[str]
) -> None:
    done = run(*words)
    assert done.returncode == 1
    (record,) = records(done.stderr)
    assert sorted(record) == sorted([*COMMON, "error"])
    assert (record["level"], record["logger"]) == ("ERROR", "eventstore")
    fields = {"stream": "a/1", "expected": 7, "actual": 0}
    assert record["error"] == {"type": "ConflictError", "fields": fields}


def test_notes_warnings_and_wrong_usage_are_records(run: Run, tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "R1.yml").write_text("rule_id: [\n")
    said = run("sync", "rules", "--once", "--log-format", "json", "-v").stderr
    assert {one["level"] for one in records(said)} == {"INFO"}
    assert any("R1.yml" in one["message"] for one in records(said))
    (record,) = records(run("nonsense", "--log-format", "json").stderr)
    assert record["level"] == "ERROR"
    (record,) = records(run("streams", "--log-format", "json", EVENTSTORE_POL="1").stderr)[:1]
    assert (record["level"], "EVENTSTORE_POL" in record["message"]) == ("WARNING", True)


def test_text_is_text_also_beside_json(run: Run, empty_log: None) -> None:
    done = run("status", "-v", "--json", "--log-format", "text")
    assert json.loads(done.stdout)["position"] == 0
    assert " INFO " in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    "url",
    ["postgresql://u:TOPSECRET@h/db", "https://TOPSECRET@rules.example", "redis://:TOPSECRET@h",
     "postgresql://h/db?password=TOPSECRET"],
)  # fmt: skip
def test_no_record_of_any_level_has_a_secret(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [])
    monkeypatch.setattr(root, "level", root.level)  # Given back at the end.
    monkeypatch.setattr(output, "_secrets", Secrets())
    output.hide_secrets((url,), ("KEYOFALOG",))
    output.show_log_records(verbose=True, log_format="json")
    root.setLevel(logging.DEBUG)
    levels = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
    error = StorageError(url, f"the password TOPSECRET of {url} is refused: KEYOFALOG")
    for level in levels:
        logging.getLogger("other").log(getattr(logging, level), "of %s: %s", url, error)
        logging.getLogger("other").log(getattr(logging, level), "fails", exc_info=error)
    output.write_failure(error, f"of {url}", json=False)
    output.Output().note(f"of {url} and KEYOFALOG")
    said = capfd.readouterr().err
    found = records(said)
    assert [one["level"] for one in found[:-2:2]] == list(levels)
    assert all(one["error"]["type"] == "StorageError" for one in found[:-1])
    assert "TOPSECRET" not in said
    assert "KEYOFALOG" not in said


@pytest.mark.parametrize("place", ["option", "variable"])
def test_a_command_says_no_secret(run: Run, place: str) -> None:
    url = "sqlite://u:TOPSECRET@h"
    words = ["--url", url] if place == "option" else []
    variables = {} if place == "option" else {"EVENTSTORE_URL": url}
    done = run("status", *words, "-v", "--log-format", "json", **variables)
    assert done.returncode == 1
    assert records(done.stderr)[-1]["level"] == "ERROR"
    assert "TOPSECRET" not in done.stdout + done.stderr
