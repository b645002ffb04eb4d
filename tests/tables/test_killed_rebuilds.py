"""The tables of rules that are computed in spite of ten kills are those of a rebuild.

``pytest -m soak -s tests/tables/test_killed_rebuilds.py`` takes one million events on each database
and ten million on SQLite; the last need 6 GB. ``-k "1000000-sqlite"`` chooses one of them.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

import pytest

from benchmarks.rebuilding_faults import digest, resume, start
from benchmarks.rule_history import make_history
from projections.tables.followed import read_cursors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.postgres import Server

    Place = Callable[[str], str]

pytestmark = [
    pytest.mark.promise("projection"),
    pytest.mark.soak,
    pytest.mark.timeout(6 * 3600),
]

KILLS = 10


@pytest.fixture
def files(tmp_path: Path) -> Iterator[Place]:
    """Name new SQLite files, which are removed at the end: they are large."""
    folder = tmp_path / "files"
    folder.mkdir()
    yield lambda name: f"sqlite:///{folder}/{name}.db"
    shutil.rmtree(folder)


@pytest.fixture
def schemas(postgres: Server) -> Place:
    """Name new schemas of PostgreSQL."""
    return lambda _: postgres.fresh_schema()


def rebuild(url: str, target: str) -> float:
    """Compute the tables in one run; return its seconds."""
    began = time.monotonic()
    with start("ours", url, target) as process:
        process.communicate()
    assert process.returncode == 0
    return time.monotonic() - began


@pytest.mark.parametrize(
    ("events", "places"),
    [(1_000_000, "files"), (1_000_000, "schemas"), (10_000_000, "files")],
    ids=["1000000-sqlite", "1000000-postgresql", "10000000-sqlite"],
)
def test_tables_that_were_computed_in_spite_of_ten_kills_are_those_of_a_rebuild(
    events: int, places: str, request: pytest.FixtureRequest
) -> None:
    place: Place = request.getfixturevalue(places)
    log, whole, parts = place("log"), place("whole"), place("parts")
    began = time.monotonic()
    make_history(log, events)
    made = time.monotonic() - began
    took = rebuild(log, whole)
    began = time.monotonic()
    reached = resume(log, parts, events, KILLS)
    resumed = time.monotonic() - began
    assert len(reached) == KILLS
    assert 0 < max(reached) < events
    assert [cursor.position for _, cursor in read_cursors(parts)] == [events]
    assert digest(parts) == digest(whole)
    print(
        f"\n{events} events, made in {made:.0f} s, rebuilt in {took:.0f} s, with {KILLS} kills in "
        f"{resumed:.0f} s: the same tables; killed at {reached}"
    )
