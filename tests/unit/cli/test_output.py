"""Any text is shown by a terminal and not obeyed, and JSON stays JSON."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.commands import REPOSITORY

from eventstore.cli import output
from eventstore.cli.json_text import to_json
from eventstore.cli.output import Output
from eventstore.system.printable import escape

HOSTILE = {
    "escape sequence": "a\x1b[31mred",
    "eight-bit sequence": "a\x9b31mred",
    "line break": "a\nerror: forged",
    "carriage return": "a\rforged",
    "line separator": "a\u2028forged",
    "bidirectional override": "a\u202egnp.exe",
    "isolate": "a\u2066b\u2069",
    "lone surrogate": "a\udcff",
    "tab": "a\tb",
    "delete": "a\x7fb",
}
TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d[+-]\d\d:\d\d"
MARKUP = "[red]a[/red] [/] :boom: [link=http://x]y"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_what_would_steer_a_terminal_is_escaped(text: str) -> None:
    shown = escape(text)
    assert shown.isprintable()
    assert shown.encode("utf-8")
    assert shown.startswith("a")
    assert "\\" in shown


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_is_one_printable_line(text: str) -> None:
    assert escape(text).isprintable()


@pytest.mark.parametrize("text", ["", "plain text", "Grüße", "日本語", "naïve ☕"])
def test_printable_text_is_shown_as_it_is(text: str) -> None:
    assert escape(text) == text


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_every_way_of_output_escapes(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.line(text)
    out.note(text)
    out.value({}, text)
    out.facts([(text, text)])
    out.table(["column"], [[text]])
    output.write_error(text)
    output.write_warning(text)
    captured = capsys.readouterr()
    for stream in captured:
        assert "".join(stream.split("\n")).isprintable()
        assert escape(text).split()[0] in stream
    assert captured.out.count("\n") == 5
    assert captured.err.count("\n") == 3


def test_markup_is_shown_and_not_interpreted(capsys: pytest.CaptureFixture[str]) -> None:
    out = Output()
    out.line(MARKUP)
    out.table([MARKUP], [[MARKUP], ["[/nothing]"]])
    assert capsys.readouterr().out.count(MARKUP) == 3


def test_log_records_are_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        output.show_log_records(verbose=False)
        log = logging.getLogger("a.stranger")
        log.info("not shown")
        log.warning("it is %s", "[red]\x1b[31m\nforged")
        log.error("failed", exc_info=ValueError("\x1b[2J"))
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    warning, error, trace = capsys.readouterr().err.splitlines()
    assert re.fullmatch(TIME + r" WARNING  it is \[red\]\\x1b\[31m\\nforged", warning)
    assert re.fullmatch(TIME + " ERROR    failed", error)
    assert trace == r"ValueError: \x1b[2J"


@settings(suppress_health_check=[HealthCheck.too_slow])  # a busy machine draws slowly
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_json_is_exactly_what_the_value_says(value: Any) -> None:
    encoded = to_json(value)
    assert b"\n" not in encoded
    assert json.loads(encoded) == value


def test_json_with_a_lone_surrogate_is_still_json() -> None:
    assert json.loads(to_json({"a\udcff": ["b\udcfe", 1]})) == {r"a\udcff": [r"b\udcfe", 1]}


WRITERS = {"print", "echo", "secho", "Console", "basicConfig", "StreamHandler", "RichHandler"}


def test_no_other_module_writes_to_a_terminal() -> None:
    files = [*(REPOSITORY / "eventstore" / "cli").glob("*.py"),
             *(REPOSITORY / "projections" / "cli").glob("*.py")]  # fmt: skip
    assert len(files) > 20
    found = [
        f"{file.name}: {name}"
        for file in files
        if file != Path(output.__file__)
        for node in ast.walk(ast.parse(file.read_text()))
        if (name := writer(node))
    ]
    assert found == []


def writer(node: ast.AST) -> str:
    """Return what a piece of code writes with, or nothing."""
    if isinstance(node, ast.Attribute) and ast.unparse(node) in {"sys.stdout", "sys.stderr"}:
        return ast.unparse(node)
    if isinstance(node, ast.Call):
        name = ast.unparse(node.func).rpartition(".")[2]
        return name if name in WRITERS else ""
    if isinstance(node, ast.Import | ast.ImportFrom):
        text = ast.unparse(node)
        return text if "rich" in text or "import stdout" in text or "import stderr" in text else ""
    return ""


@pytest.mark.parametrize(
    "code",
    ["print(1)", "import sys\nsys.stdout.write('x')", "typer.echo('x')", "from sys import stdout",
     "from rich.console import Console", "logging.basicConfig()", "x = Console()"],
)  # fmt: skip
def test_the_check_sees_each_way_of_writing(code: str) -> None:
    assert any(writer(node) for node in ast.walk(ast.parse(code)))


def test_streams_that_are_no_files_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stream)
    output.prepare_streams()
    Output(json=True).value({"a": 1}, None)
    assert stream.getvalue() == '{"a":1}\n'
