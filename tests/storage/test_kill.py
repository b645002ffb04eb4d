"""kill -9 at random moments: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest
from support.audit import audit_url
from support.logs import LASTING, LOG_URLS
from support.plain import plain
from support.processes import lines_until_killed

if TYPE_CHECKING:
    from pathlib import Path


def write_until_killed(url: str, number: int, calls: int) -> list[list[str]]:
    """Let a process write, kill it after so many calls, and return what it had acknowledged."""
    said = lines_until_killed(calls, "acknowledging_writer", url, number)
    return [line.split() for line in said if line.count(" ")]


def stored_calls(url: str) -> dict[str, set[str]]:
    """Return the ids of each commit, by its position."""
    calls: dict[str, set[str]] = {}
    with plain(url) as connection:
        for commit, raw_id in connection.execute("SELECT commit_position, id FROM event"):
            calls.setdefault(str(commit), set()).add(raw_id[1:].decode())
    return calls


@pytest.mark.promise("durable")
@pytest.mark.parametrize(
    "rounds",
    [
        2,
        pytest.param(10, marks=pytest.mark.slow),
        pytest.param(300, marks=[pytest.mark.soak, pytest.mark.timeout(1800)]),
    ],
)
@pytest.mark.parametrize("kind", LASTING)
def test_a_killed_writer_loses_nothing_it_acknowledged(
    tmp_path: Path, kind: str, rounds: int
) -> None:
    random, total, url = Random(rounds), 0, LOG_URLS[kind](tmp_path)
    for number in range(rounds):
        acknowledged = write_until_killed(url, number, random.randint(1, 60))
        events = audit_url(url)
        calls = stored_calls(url)
        for position, *ids in acknowledged:
            assert calls[position] == set(ids)
        for ids_of_call in calls.values():
            # The number in the ids says how many events the call had.
            sizes = {int(one.split("-")[2]) % 5 + 1 for one in ids_of_call}
            assert sizes == {len(ids_of_call)}
        total += len(acknowledged)
    print(f"{rounds} kills: {total:,} acknowledged calls, {events:,} events, none lost or half")
    assert total > rounds
