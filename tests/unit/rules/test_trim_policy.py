"""Which events of rules a trim keeps: enough for each view, and no more than a few."""

from __future__ import annotations

import tempfile
from pathlib import Path

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.examples import examples
from support.rule_commits import COMMITS
from support.rule_log import LOG_ID, Change, RuleLog

from eventstore import Event
from projections import DirectoryProjection
from projections.directory.manifest import MANIFEST
from projections.rules.trim_policy import keep_rules

BLOCKED = [
    [Change("R1", "a/b")],  # a is a directory now
    [Change("R3", "a")],  # waits
    [Change("R2", "a/c")],
    [Change("R1")],  # R3 waits on, although it came before R2
]
SHARED = [[Change("R1", "a")], [Change("R2", "a")], [Change("R1", "a", b"2")]]


def manifest(root: Path, log: RuleLog, events: list[Event]) -> bytes:
    projection = DirectoryProjection(root, fsync=False)
    projection.open(LOG_ID)
    projection.apply(events, log.cursor())
    projection.close()
    return (root / MANIFEST).read_bytes()


@pytest.mark.promise("moving")
@settings(max_examples=examples(200), deadline=None)
@given(COMMITS)
@example(BLOCKED)
@example(SHARED)
def test_what_is_kept_makes_the_same_directory(commits: list[list[Change]]) -> None:
    log = RuleLog(commits)
    kept = set(keep_rules(log.events))
    with tempfile.TemporaryDirectory() as folder:
        whole = manifest(Path(folder, "whole"), log, log.events)
        rest = [event for event in log.events if event.position in kept]
        assert manifest(Path(folder, "kept"), log, rest) == whole


def test_of_many_edits_one_for_each_rule_is_kept() -> None:
    log = RuleLog([[Change(f"R{n % 7}", f"{n % 7}.yml", b"%d" % n)] for n in range(700)])
    assert sorted(keep_rules(log.events)) == list(range(694, 701))


def test_a_conflict_that_was_settled_costs_nothing() -> None:
    log = RuleLog([*SHARED, [Change("R1", "b")], [Change("R2", "a", b"3")]])
    assert sorted(keep_rules(log.events)) == [4, 5]


def rejection(position: int, type_: str, path: str) -> Event:
    data = msgspec.json.encode({"path": path, "source": "s", "reason": "bad"})
    return Event(
        position, "source/s", position, type_, position, b"\xff%d" % position, 0, data, b"", 0, b""
    )


@given(
    st.lists(
        st.tuples(st.sampled_from(["RuleRejected", "RejectionEnded"]), st.sampled_from("xyz")),
        max_size=30,
    )
)
def test_of_each_rejected_file_the_last_rejection_and_its_end_are_kept(
    history: list[tuple[str, str]],
) -> None:
    events = [rejection(n, type_, path) for n, (type_, path) in enumerate(history, 1)]
    expected = {len(events)} - {0}
    for path in "xyz":
        begins = [n for n, (t, p) in enumerate(history, 1) if (t, p) == ("RuleRejected", path)]
        ends = [n for n, (t, p) in enumerate(history, 1) if (t, p) == ("RejectionEnded", path)]
        if begins:
            expected |= {begins[-1], *[n for n in ends if n > begins[-1]][:1]}
    assert set(keep_rules(events)) == expected
