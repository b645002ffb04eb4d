"""``tag``, and ``--at`` of commands that show what the log was."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.commands import refused

if TYPE_CHECKING:
    from pathlib import Path

    from support.commands import Run


@pytest.fixture
def three(run: Run) -> None:
    """Append three events to one stream."""
    for number in range(3):
        run("append", "order/1", "Noted", json.dumps({"number": number}))


@pytest.mark.usefixtures("three")
def test_a_tag_names_a_moment_for_every_command(run: Run) -> None:
    assert run("tag", "second", "2").stdout == "tag second is position 2\n"
    assert json.loads(run("show", "order/1", "--at", "second", "--json").stdout)["data"] == {
        "number": 1
    }
    (listed,) = run("tag", "--list", "--json").stdout.splitlines()
    assert json.loads(listed)["position"] == 2
    assert "second" in run("tag", "--list").stdout
    assert "tagged    second is position 2" in run("history", "tag/second").stdout
    assert "position 2 already" in refused(run, "tag", "second")
    assert run("tag", "second", "--replace").stdout == "tag second is position 4\n"


@pytest.mark.usefixtures("three")
def test_a_directory_is_projected_as_of_a_tag(run: Run, tmp_path: Path) -> None:
    assert run("tag", "begun", "1").returncode == 0
    assert "is at position 1" in run("project", "live", "--at", "tag:begun").stdout
    assert (tmp_path / "live").is_dir()


@pytest.mark.usefixtures("three")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["show", "order/1", "--at", "9"], "beyond the head"),
        (["show", "order/1", "--at", "git:abcd"], "was synced"),
        (["show", "order/1", "--at", "nothing\x1b[31m"], "no tag has this name"),
        (["show", "order/1", "--at", "0"], "had no events at 0"),
        (["tag", "12"], "is no name of a tag"),
        (["tag", "new", "none"], "no tag has this name"),
    ],
)
def test_a_moment_that_is_none_is_refused_in_one_line(
    run: Run, words: list[str], said: str
) -> None:
    line = refused(run, *words)
    assert said in line
    assert "\x1b" not in line


def test_tag_without_a_name_says_how_it_is_used(run: Run) -> None:
    assert run("tag").returncode == 2
    assert run("tag", "x", "--list").returncode == 2
