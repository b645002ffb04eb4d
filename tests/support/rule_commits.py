"""Commits of rule files that hypothesis draws: few keys and paths, so that they meet."""

from __future__ import annotations

from hypothesis import strategies as st

from support.rule_log import Change

PATHS = ["a", "b", "a/b", "a/b/c", "b/c", "c", "../x", None]
CHANGES = st.builds(
    Change,
    key=st.sampled_from(["R1", "R2", "R3", "R4"]),
    path=st.sampled_from(PATHS),
    content=st.sampled_from([b"", b"1", b"\xff"]),
    redacted=st.sampled_from([False, False, False, True]),
)
COMMITS = st.lists(st.lists(CHANGES, min_size=1, max_size=4), max_size=12)
