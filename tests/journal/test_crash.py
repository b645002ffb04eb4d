"""kill -9 in the middle of writes: the tables say what the log says, and nothing is lost."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import pytest
from support.audit import audit_url
from support.journals import told_by_log, told_by_tables, without_sums
from support.logs import LASTING, LOG_URLS
from support.processes import lines_until_killed

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

AGENTS = ["a0", "a1"]


def write_until_killed(url: str, number: int, calls: int) -> list[Any]:
    """Let a process write, kill it after so many calls; return what it had acknowledged."""
    return [json.loads(line) for line in lines_until_killed(calls, "journal_writer", url, number)]


@pytest.mark.promise("journal")
@pytest.mark.parametrize(
    "rounds",
    [
        1,
        pytest.param(4, marks=pytest.mark.slow),
        pytest.param(50, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.parametrize("kind", LASTING)
async def test_a_killed_writer_leaves_tables_that_equal_the_log(
    tmp_path: Path, kind: str, rounds: int
) -> None:
    random, url, total = Random(rounds), LOG_URLS[kind](tmp_path), 0
    acknowledged: set[str] = set()
    versions = dict.fromkeys(AGENTS, 0)
    for number in range(rounds):
        for what, key, value in write_until_killed(url, number, random.randint(1, 80)):
            total += 1
            if what == "entry" and key == "p0":
                acknowledged.add(value)
            elif what == "assigned":
                versions[key] = max(versions[key], value)
        audit_url(url)
        by_log = await told_by_log(url)
        assert await told_by_tables(url, AGENTS) == without_sums(by_log)
        assert acknowledged <= by_log["projects"]["p0"].keys()
        assert by_log["assignments"].get("a0", (None, 0))[1] >= versions["a0"]
    entries = sum(len(one) for one in by_log["projects"].values())
    print(f"{kind}: {rounds} kills, {total:,} acknowledged, {entries:,} entries stand, none lost")
    assert total > rounds
