"""Two processes of eight tasks each with conflicts: nothing is lost, and one of N wins."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
from support.audit import audit_url
from support.journals import told_by_log, told_by_tables, without_sums
from support.lengths import lengths
from support.processes import lines_of_two

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

AGENTS = [f"a{number}" for number in range(3)]


def run_workers(url: str, folder: Path, seconds: float) -> list[list[str]]:
    """Run two processes; return the words of each line that they said."""
    return [line.split() for line in lines_of_two("journal_rivals", url, folder, seconds)]


@pytest.mark.promise("journal")
@lengths("seconds", 1.0, soak=60.0, timeout=600)
async def test_nothing_is_lost_and_one_wins(
    lasting_url: str, tmp_path: Path, seconds: float
) -> None:
    from projections.journal import Journal

    async with Journal(lasting_url) as journal:
        await journal.upsert_project(name="p", repo_root="/", progress_log_path="")
        for agent in AGENTS:
            await journal.set_agent_project(agent, "p", None, "test", None)
    began = time.monotonic()
    said = run_workers(lasting_url, tmp_path, seconds)
    took = time.monotonic() - began
    audit_url(lasting_url)
    by_log = await told_by_log(lasting_url)
    assert await told_by_tables(lasting_url, AGENTS) == without_sums(by_log)
    entries = [words[1] for words in said if words[0] == "entry"]
    assert by_log["projects"]["p"].keys() == set(entries)
    wins: Counter[Any] = Counter((words[1], words[2]) for words in said if words[0] == "won")
    assert set(wins.values()) == {1}
    for agent in AGENTS:
        versions = sorted(int(version) for name, version in wins if name == agent)
        assert versions == list(range(2, by_log["assignments"][agent][1] + 1))
    lost = sum(words[0] == "lost" for words in said)
    waits = sorted(float(words[2]) for words in said if words[0] == "entry")
    report = {
        "entries": len(set(entries)), "shared": len(entries) - len(set(entries)),
        "won": wins.total(), "lost": lost, "pages": sum(words[0] == "pages" for words in said),
        "per second": round(len(entries) / took), "worst ms": round(waits[-1] * 1e3),
        "insert p50 ms": round(waits[len(waits) // 2] * 1e3, 1),
    }  # fmt: skip
    kind = urlsplit(lasting_url).scheme
    print(f"{kind}: {json.dumps(report)}")
    # How much a second is worth depends on the machine; a minute is enough on any.
    assert wins
    assert seconds < 10 or (wins.total() > 10 and lost > 10)
