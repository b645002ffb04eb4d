"""Storage seams: what one version wrote the other reads, and goes on writing."""

from __future__ import annotations

import fcntl
import itertools
from typing import TYPE_CHECKING

import pytest

from .test_log import check_unbroken

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Pair

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]

TURNS = 4


@pytest.fixture
def migrations(tmp_path: Path) -> str:
    """Write a migration that both databases take."""
    directory = tmp_path / "migrations"
    directory.mkdir()
    (directory / "001_account.sql").write_text(
        "CREATE TABLE account (id INTEGER PRIMARY KEY, owner TEXT NOT NULL);"
    )
    return str(directory)


@pytest.mark.parametrize("seam", ["registry", "journal", "memories", "sql"])
def test_a_seam_is_used_by_both_versions_in_turn(
    pair: Pair, url: str, seam: str, migrations: str
) -> None:
    options = {"migrations": migrations} if seam == "sql" else {}
    anchor, seen = "", []
    for number in range(TURNS):
        pair[number % 2].call(f"{seam}_write", url=url, number=number, **options)
        anchor = anchor or pair.first.call("head", url=url)
        shown = [version.call(f"{seam}_read", url=url) for version in pair]
        assert shown[0] == shown[1]
        seen.append(shown[0])
    assert all(before != after for before, after in itertools.pairwise(seen))
    check_unbroken(pair, url, anchor)


def is_locked(path: Path) -> bool:
    """Say whether another process holds a lock on a file."""
    with path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        return False


def test_the_turn_at_a_file_is_one_for_both_versions(
    pair: Pair, tmp_path: Path, migrations: str
) -> None:
    url, elsewhere = (f"sqlite:///{tmp_path / name}.db" for name in ("log", "elsewhere"))
    pair.first.call("sql_write", url=url, number=0, migrations=migrations)
    writer = tmp_path / "log.db-writer"
    assert not is_locked(writer)
    pair.first.call("hold_turn", url=url, number=1)
    assert is_locked(writer)
    waiting = pair.second.begin("append_often", url=url, stream="count/1", count=1)
    # The same work on another file, twenty times.
    pair.second.call("append_often", url=elsewhere, stream="count/1", count=20)
    assert not waiting.done()
    pair.first.call("end_turn")
    waiting.result(60)
    events = pair.second.call("read", url=url)
    assert [event[1] for event in events[-2:]] == ["sql/main", "count/1"]


def test_each_version_waits_for_the_turn_that_another_process_has(
    pair: Pair, tmp_path: Path
) -> None:
    url, elsewhere = (f"sqlite:///{tmp_path / name}.db" for name in ("log", "elsewhere"))
    pair.first.call("append_often", url=url, stream="count/1", count=1)
    with (tmp_path / "log.db-writer").open("rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        waiting = [
            version.begin("append_often", url=url, stream=f"count/{number}", count=1)
            for number, version in enumerate(pair)
        ]
        for version in pair:  # The same work on another file, twenty times.
            version.call("append_often", url=elsewhere, stream="count/1", count=20)
        assert not any(one.done() for one in waiting)
    for one in waiting:
        one.result(60)
    assert len(pair.second.call("read", url=url)) == 3
