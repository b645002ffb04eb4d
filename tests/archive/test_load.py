"""A large log moved from each database to the other: time, size, memory, and the same views."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from support.moving import fresh
from support.plain import plain
from support.processes import environment, words

if TYPE_CHECKING:
    from pathlib import Path


def step(what: str, url: str, file: Path | str, count: int) -> tuple[float, int]:
    """Do one step in a process of its own; return its seconds and its peak memory in MiB."""
    command = words("moving_step", what, url, file, count)
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    seconds, peak = done.stdout.split()
    return float(seconds), int(peak)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [200_000, 1_000_000])
@pytest.mark.parametrize("kinds", [("sqlite", "postgresql"), ("postgresql", "sqlite")])
def test_a_large_log_moves_in_bounded_memory(
    tmp_path: Path, kinds: tuple[str, str], count: int
) -> None:
    source, target = (fresh(kind, tmp_path, kind) for kind in kinds)
    file = tmp_path / "log.export"
    begun = time.perf_counter()
    _, least = step("nothing", fresh("sqlite", tmp_path, "least"), file, 0)
    step("fill", source, file, count)
    for what, url in (("export", source), ("import", target)):
        seconds, peak = step(what, url, file, count)
        print(
            f"{what} {kinds[what == 'import']}: {count:,} events, {seconds} s, {peak} MiB at the "
            f"most ({least} MiB for nothing), file {file.stat().st_size / 1e6:.0f} MB"
        )
        assert peak < least + 64
    views = []
    for number, url in enumerate((source, target)):
        print(f"verify {kinds[number]}: {step('verify', url, '', count)[0]} s")
        view = tmp_path / f"view-{number}.db"
        print(f"rebuild a view: {step('rebuild', url, f'sqlite:///{view}', count)[0]} s")
        with plain(f"sqlite:///{view}") as connection:
            views.append(connection.execute("SELECT * FROM numbers ORDER BY 1").fetchall())
    assert views[0] == views[1]
    assert len(views[0]) == count // 10
    print(f"{time.perf_counter() - begun:.0f} s in all")
