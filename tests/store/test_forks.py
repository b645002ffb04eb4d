"""A forked child can neither use nor harm what its parent has open."""

from __future__ import annotations

from subprocess import PIPE
from typing import TYPE_CHECKING

import pytest
from support.audit import audit_url
from support.processes import run

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.promise("owners")

SLOW = pytest.mark.slow
OTHERS = ("idle", "process", "preload")


@pytest.mark.parametrize("way", ["writing", *(pytest.param(one, marks=SLOW) for one in OTHERS)])
def test_a_forked_child_is_refused_and_harms_nothing(lasting_url: str, way: str) -> None:
    ended = run("forked_uses", lasting_url, way, stdout=PIPE, stderr=PIPE, text=True)
    child, status, parent, *rest = ended.stdout.splitlines() or [ended.stderr]
    assert child.startswith("child: ")
    assert child.endswith(" uses, not refused: []")
    assert (status, parent, rest) == ("status 0", "parent 6 6", [])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert audit_url(lasting_url) == 6


def check_forks(path: Path, forks: int, way: str) -> int:
    """Check that parent and children end well; return how many children worked."""
    ended = run("forks_at_random", path, forks, 7, way, stdout=PIPE, stderr=PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    acknowledged, *words = ended.stdout.split()
    ends: dict[str, int] = dict(zip(words[::2], map(int, words[1::2]), strict=True))
    worked = ends.pop("worked", 0)
    assert ends.pop("refused", 0) + worked == forks
    assert not ends
    assert audit_url(f"sqlite:///{path}") == int(acknowledged) + worked
    return worked


def test_children_forked_while_threads_append_and_read_work_or_are_refused(path: Path) -> None:
    check_forks(path, 4, "threads")


@pytest.mark.slow
def test_fifty_children_forked_at_random_moments_work_or_are_refused(path: Path) -> None:
    assert check_forks(path, 50, "threads")


@pytest.mark.slow
@pytest.mark.parametrize("way", ["transaction", "query", "connection"])
def test_children_forked_during_a_use_that_lasts_are_refused(path: Path, way: str) -> None:
    assert check_forks(path, 10, way) == 0


@pytest.mark.slow
def test_a_child_that_was_forked_in_a_transaction_leaves_it_to_its_parent(lasting_url: str) -> None:
    ended = run("forked_connection", lasting_url, stdout=PIPE, stderr=PIPE, text=True)
    refused = ["rows refused 6"] * lasting_url.startswith("sqlite")
    told = ["child: not refused []", *refused, "status 7", "rows 3001"]
    assert (ended.returncode, ended.stderr, ended.stdout.splitlines()) == (0, "", told)
    audit_url(lasting_url)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("way", "told", "events"),
    [
        ("open", "child appended 6", 15),
        ("closed", "child appended 6", 12),
        ("before", "child appended 6", 12),
        ("raced", "child ForkedError 0", 6),
    ],
)
def test_a_file_that_a_forked_child_opens_anew_loses_nothing(
    path: Path, way: str, told: str, events: int
) -> None:
    ended = run("forked_files", path, way, stdout=PIPE, stderr=PIPE, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    child, status = ended.stdout.splitlines()
    assert child.startswith(told)
    assert ("'spawn'" in child) == (way == "raced")
    assert child.endswith("others: ForkedError ForkedError") == (way == "raced")
    assert status == "status 0"
    assert audit_url(f"sqlite:///{path}") == events
