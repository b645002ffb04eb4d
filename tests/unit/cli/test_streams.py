"""``append``, ``show`` and ``streams``: what they refuse, read and list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.commands import refused

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


def test_append_reads_its_data_from_stdin(run: Run) -> None:
    long = {"text": "ü" * 100_000}
    assert run("append", "order/1", "Noted", "-", said=json.dumps(long)).returncode == 0
    assert json.loads(run("show", "order/1", "--json").stdout)["data"] == long


@pytest.mark.promise("bad-input")
@pytest.mark.parametrize(
    "text",
    ["", "{", "NaN", "[Infinity]", '{"a": 1, "a": 2}', "[1e999]", "[" * 100_000, "1" * 5000],
)
def test_data_that_is_no_exact_json_is_refused(run: Run, tmp_path: Path, text: str) -> None:
    done = run("append", "order/1", "Noted", "-", said=text)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "eventstore.db").exists()


@pytest.mark.parametrize("stream", ["log/trims", "log/x", "nocategory", "a/\x07", ""])
def test_a_stream_that_is_reserved_or_no_name_is_refused(run: Run, stream: str) -> None:
    assert refused(run, "append", stream, "Noted").startswith("error: stream")


@pytest.mark.parametrize("expected", ["soon", "-1", "²", "1.5", "9" * 40, ""])
def test_an_expected_version_that_is_none_is_wrong_usage(run: Run, expected: str) -> None:
    assert run("append", "a/1", "Noted", f"--expected={expected}").returncode == 2


def test_streams_of_trimmed_events_stay_listed(run: Run) -> None:
    for stream in ("order/1", "order/2", "order/2"):
        run("append", stream, "Noted")
    assert run("trim", "--before", "3", "--force").returncode == 0
    rows = [json.loads(line) for line in run("streams", "order/", "--json").stdout.splitlines()]
    assert [(row["stream"], row["version"], row["position"]) for row in rows] == [
        ("order/1", 1, None), ("order/2", 2, 3),
    ]  # fmt: skip
    assert "trimmed" in run("streams", "order/1").stdout


def test_show_finds_a_rule_by_its_id(run: Run) -> None:
    run("state", "R1", "disabled", "--reason", "noisy")
    shown = run("show", "R1", "--utc").stdout
    assert "rule-state/R1" in shown
    assert "noisy" in shown
    assert "has no events" in refused(run, "show", "R2")
