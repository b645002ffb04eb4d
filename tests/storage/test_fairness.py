"""Writers of several processes take turns: none is starved (promise 2)."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest
from support.audit import audit
from support.processes import child, lines, wait_for

if TYPE_CHECKING:
    from pathlib import Path


def measure(url: str, seconds: float) -> dict[str, tuple[int, int, float]]:
    """Run two appenders and a batch writer; return size, calls and worst wait of each."""
    with ExitStack() as stack:
        processes = [
            stack.enter_context(child("timed_writer", url, name, size, seconds))
            for name, size in (("one", 1), ("two", 1), ("batch", 500))
        ]
        for process in processes:
            wait_for(process, "ready")
        for process in processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        words = [next(lines(process)).split() for process in processes]
    return {name: (int(size), int(calls), float(worst)) for name, size, calls, worst in words}


def is_fair(figures: dict[str, tuple[int, int, float]]) -> bool:
    """Tell whether each writer had its share: about a third, as turns alternate.

    A starved one has none. One that the system has held back for a while has less.
    """
    counts = [calls for _, calls, _ in figures.values()]
    return min(counts) * 4 > max(counts) and max(worst for _, _, worst in figures.values()) < 1.0


@pytest.mark.slow
@pytest.mark.promise("order")
@pytest.mark.parametrize("seconds", [1.0, pytest.param(20.0, marks=pytest.mark.soak)])
def test_appenders_beside_a_batch_writer_all_get_their_turns(
    path: Path, url: str, seconds: float
) -> None:
    appended = 0
    for _ in range(10):
        figures = measure(url, seconds)
        for name, (size, calls, worst) in figures.items():
            rate = calls / seconds
            print(f"{name}: {rate:,.0f} appends/s of {size}, worst wait {worst * 1e3:.0f} ms")
        appended += sum(size * calls for size, calls, _ in figures.values())
        assert audit(path) == appended
        if is_fair(figures):
            return
    pytest.fail("a writer was starved each time")
