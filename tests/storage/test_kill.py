"""kill -9 at random moments: what was acknowledged is there, and nothing is half there."""

from __future__ import annotations

import pytest
from support.audit import audit_url
from support.lengths import lengths
from support.plain import plain
from support.processes import killed_runs


def stored_calls(url: str) -> dict[str, set[str]]:
    """Return the ids of each commit, by its position."""
    calls: dict[str, set[str]] = {}
    with plain(url) as connection:
        for commit, raw_id in connection.execute("SELECT commit_position, id FROM event"):
            calls.setdefault(str(commit), set()).add(raw_id[1:].decode())
    return calls


@pytest.mark.promise("durable")
@pytest.mark.parametrize(
    "program",
    ["acknowledging_writer", pytest.param("acknowledging_threads", marks=pytest.mark.slow)],
)
@lengths("rounds", 2, slow=10, soak=300, timeout=1800)
def test_a_killed_writer_loses_nothing_it_acknowledged(
    lasting_url: str, rounds: int, program: str
) -> None:
    total = 0
    for said in killed_runs(rounds, 60, lambda n: (program, lasting_url, n)):
        acknowledged = [line.split() for line in said if line.count(" ")]
        events = audit_url(lasting_url)
        calls = stored_calls(lasting_url)
        for position, *ids in acknowledged:
            assert calls[position] == set(ids)
        for ids_of_call in calls.values():
            # The number in the ids says how many events the call had.
            sizes = {int(one.split("-")[2]) % 5 + 1 for one in ids_of_call}
            assert sizes == {len(ids_of_call)}
        total += len(acknowledged)
    print(f"{rounds} kills: {total:,} acknowledged calls, {events:,} events, none lost or half")
    assert total > rounds
