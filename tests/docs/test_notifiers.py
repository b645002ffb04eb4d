"""What docs/notifiers.md says of names is what the program has."""

from __future__ import annotations

import re
import shlex

import pytest
import typer.main
from support.commands import REPOSITORY

from eventstore.cli.app import app

TEXT = (REPOSITORY / "docs" / "notifiers.md").read_text()
NOTIFIERS = REPOSITORY / "eventstore" / "notify"


def commands() -> list[str]:
    files = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
    # Those that a package adds are run by test_extending.
    files.remove(REPOSITORY / "docs" / "extending.md")
    return [
        line
        for file in files
        for block in re.findall(r"```(?:console|sh)\n(.*?)```", file.read_text(), re.DOTALL)
        for line in re.findall(r"(?:^\$ |exec master )(eventstore .*)$", block, re.MULTILINE)
    ]


def test_every_counter_is_explained() -> None:
    source = "".join(path.read_text() for path in NOTIFIERS.glob("*.py"))
    counted = set(re.findall(r'_counts\["(\w+)"', source)) | {"news", "hints"}
    counted |= set(re.findall(r'RefusedMessageError\("(\w+)"\)', source))
    assert len(counted) >= 10
    assert {name for name in counted if f"`messages_{name}`" not in TEXT} == set()


@pytest.mark.parametrize("line", sorted(set(commands())))
def test_every_command_that_is_shown_can_be_given(
    line: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPOSITORY)
    group = typer.main.get_command(app)
    name, *words = shlex.split(line, comments=True)[1:]
    command = group.commands[name]  # type: ignore[attr-defined]
    with command.make_context(name, words, parent=group.make_context("eventstore", [name])):
        pass


def test_there_are_commands_to_check() -> None:
    assert len(commands()) >= 8
