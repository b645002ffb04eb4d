"""kill -9 in the middle of writes: the tables say what the log says, and nothing is lost."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest
from support.audit import audit_url
from support.journals import told_by_log, told_by_tables, without_sums
from support.lengths import lengths
from support.processes import killed_runs

pytestmark = pytest.mark.anyio

AGENTS = ["a0", "a1"]


@pytest.mark.promise("journal")
@lengths("rounds", 1, slow=4, soak=50, timeout=1800)
async def test_a_killed_writer_leaves_tables_that_equal_the_log(
    lasting_url: str, rounds: int
) -> None:
    total = 0
    acknowledged: set[str] = set()
    versions = dict.fromkeys(AGENTS, 0)
    for said in killed_runs(rounds, 80, lambda number: ("journal_writer", lasting_url, number)):
        for what, key, value in map(json.loads, said):
            total += 1
            if what == "entry" and key == "p0":
                acknowledged.add(value)
            elif what == "assigned":
                versions[key] = max(versions[key], value)
        audit_url(lasting_url)
        by_log = await told_by_log(lasting_url)
        assert await told_by_tables(lasting_url, AGENTS) == without_sums(by_log)
        assert acknowledged <= by_log["projects"]["p0"].keys()
        assert by_log["assignments"].get("a0", (None, 0))[1] >= versions["a0"]
    entries = sum(len(one) for one in by_log["projects"].values())
    kind = urlsplit(lasting_url).scheme
    print(f"{kind}: {rounds} kills, {total:,} acknowledged, {entries:,} entries stand, none lost")
    assert total > rounds
