"""Errors in the words of the command line, and times as options give them."""

from __future__ import annotations

import ast
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from support.commands import REPOSITORY

from eventstore.cli.messages import operator_text
from eventstore.errors import ConflictError, HistoryGoneError, InvalidInputError
from eventstore.errors.values import error_values
from eventstore.system.time_text import LONGEST, parse_duration, parse_time, shifted


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (HistoryGoneError(0, 5), "start with --after 4, or give --kept to begin"),
        (InvalidInputError("x", "say replace=True"), "x: say --replace"),
        (InvalidInputError("x", "or force=True"), "x: or --force"),
        (InvalidInputError("confidence_max", "must be a number"), "--confidence-max: must be"),
        (ConflictError("a/1", "STREAM_EXISTS", 0), "not exists"),
        (ValueError("after=3"), "after=3"),
    ],
)
def test_hints_name_options(error: Exception, said: str) -> None:
    assert said in operator_text(error)


def test_an_error_as_json_has_its_fields() -> None:
    error = ConflictError("a/1", 3, 1)
    assert error_values(error, "text") == {
        "type": "ConflictError",
        "message": "text",
        "fields": {"stream": "a/1", "expected": 3, "actual": 1},
    }
    assert error_values(FileNotFoundError(2, "x", Path("y")), "t")["fields"] == {"filename": "y"}
    assert error_values(ZeroDivisionError("x"), "t")["fields"] == {}


def test_no_error_of_the_library_shows_an_operator_a_keyword_argument() -> None:
    modules = (REPOSITORY / "eventstore" / "errors").glob("*.py")
    trees = [ast.parse(path.read_text()) for path in modules]
    values = (
        one.value for tree in trees for one in ast.walk(tree) if isinstance(one, ast.Constant)
    )
    text = "\n".join(value for value in values if isinstance(value, str))
    keyword = re.compile(r"\b[a-z_]+=(?:True|False|END)\b")
    found = keyword.findall(text)
    assert found
    assert [one for one in found if keyword.search(operator_text(InvalidInputError("", one)))] == []


@pytest.mark.parametrize("text", ["", "d", "²d", "٣d", "-1d", "1.5h", "1 d", "1w", "9999-12-31"])
def test_what_is_no_duration(text: str) -> None:
    assert parse_duration(text) is None


def test_durations_of_any_length() -> None:
    assert parse_duration("90d") == timedelta(days=90)
    assert parse_duration("0s") == timedelta(0)
    for text in ("99999999999d", "9" * 5000 + "s"):
        assert parse_duration(text) == LONGEST
    assert shifted(datetime.now(UTC), LONGEST) is None
    assert shifted(datetime.now(UTC), -LONGEST) is None


def test_times_at_the_ends_of_the_calendar() -> None:
    assert parse_time("9999-12-31T23:59:59+00:00") == datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
    for text in ("", "yesterday", "2026-13-01", "0000-01-01", "²026-01-01"):
        assert parse_time(text) is None
