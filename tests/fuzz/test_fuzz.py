"""Each target on changed examples; for an hour, guided by coverage, in the soak."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.commands import PATH, REPOSITORY
from support.examples import examples

from fuzz.targets import TARGETS

SECONDS: Final = os.environ.get("RULETIDE_FUZZ_SECONDS", "60")
"""How long the soak searches each target."""

FINDINGS: Final = Path(__file__).parent / "findings"
"""Inputs that were findings once, one file each: ``TARGET-WHAT``."""

EDITS: Final = st.lists(
    st.tuples(
        st.floats(0, 1, exclude_max=True),
        st.sampled_from(["set", "insert", "delete", "double"]),
        st.binary(min_size=1, max_size=8),
    ),
    max_size=4,
)


def edited(content: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    """Return a copy with some of its bytes changed, added, taken away or repeated."""
    for where, what, new in edits:
        at = int(where * (len(content) + 1))
        rest = content[at:]
        if what == "set":
            rest = new + rest[len(new) :]
        elif what == "insert":
            rest = new + rest
        elif what == "delete":
            rest = rest[new[0] :]
        else:
            rest = rest[: new[0]] + rest
        content = content[:at] + rest
    return content


@pytest.mark.parametrize("name", TARGETS)
def test_each_example_is_taken(name: str) -> None:
    for seed in TARGETS[name].seeds():
        TARGETS[name].read(seed)


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_changed_is_taken_or_refused(name: str) -> None:
    seeds = TARGETS[name].seeds()

    @settings(max_examples=examples(200))
    @given(st.sampled_from(seeds), EDITS)
    def read(seed: bytes, edits: list[tuple[float, str, bytes]]) -> None:
        TARGETS[name].read(edited(seed, edits))

    read()


@pytest.mark.parametrize("file", sorted(FINDINGS.glob("*")), ids=lambda file: file.name)
def test_what_was_a_finding_is_none_any_more(file: Path) -> None:
    TARGETS[file.name.partition("-")[0]].read(file.read_bytes())


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", TARGETS)
def test_a_search_guided_by_coverage_finds_nothing(name: str, tmp_path: Path) -> None:
    pytest.importorskip("atheris", reason="the dependency group fuzz is not installed")
    done = subprocess.run(
        [sys.executable, "-m", "fuzz.search", name, SECONDS, str(tmp_path / "corpus")],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
