"""A new inline view over a long history, beside a writer: how long both wait.

``python -m benchmarks.new_view [VIEW …] [--postgres] [--events 150000] [--other PYTHON]``.
Each case opens the log with a view in a process of its own, while another process appends one event
after the other: at first alone, as the control. ``--other`` names an interpreter that has another
version, which opens a copy of the same history without a writer, in turns with this one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from benchmarks.postgres import server

CHILD: Final = Path(__file__).with_name("new_view_child.py")
CASES: Final = {
    "Totals": "a new view of few rows",
    "Entries": "a new view of a row for each event",
    "NextEntries": "the next version of that view",
}


def describe(seconds: list[float]) -> str:
    """Return a line about a writer's waits for its appends."""
    waits = sorted(1000 * one for one in seconds)
    median, p99 = (waits[int(len(waits) * part)] for part in (0.5, 0.99))
    return f"{len(waits):6,} appends, ms: p50 {median:.1f}, p99 {p99:.1f}, worst {waits[-1]:.1f}"


def run(python: str, role: str, url: str, argument: object) -> Any:
    """Run a child to its end; return what it says."""
    command = [python, str(CHILD), role, url, str(argument)]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def beside_writer(url: str, view: str, control: float) -> tuple[list[float], str, str]:
    """Open a view beside a writer; return its seconds, and the waits without and with it."""
    command = [sys.executable, str(CHILD), "write", url, ""]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as writer:
        assert writer.stdin is not None
        assert writer.stdout is not None
        writer.stdout.readline()
        time.sleep(control)
        began = time.monotonic()
        seconds = run(sys.executable, "bring_up", url, view)
        ended = time.monotonic()
        writer.stdin.close()
        waits = json.loads(writer.stdout.read())
    alone = [wait for at, wait in waits if at + wait < began]
    beside = [wait for at, wait in waits if at + wait >= began and at < ended]
    return seconds, describe(alone), describe(beside)


def compare(other: str, events: int, folder: Path, rounds: int) -> None:
    """Let two versions open copies of a history in turns; print seconds of both."""
    for number in range(rounds):
        for view in ("Totals", "Entries"):
            pair = {"this": sys.executable, "other": other}
            for name in sorted(pair, reverse=bool(number % 2)):
                url = f"sqlite:///{folder}/{number}-{view}-{name}.db"
                run(other, "fill", url, events)
                wall, cpu = run(pair[name], "bring_up", url, view)
                line = f"{name:6} {CASES[view]:40} {wall:6.1f} s, {cpu:6.1f} s of processor time"
                print(line, flush=True)


def main() -> None:
    """Measure, and print a few lines for each case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("views", nargs="*", metavar="VIEW", help=", ".join(CASES))
    parser.add_argument("--postgres", action="store_true", help="on a private server")
    parser.add_argument("--events", type=int, default=150_000)
    parser.add_argument("--other", metavar="PYTHON", help="an interpreter with another version")
    parser.add_argument("--control", type=float, default=10.0, help="seconds of the writer alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", default=".", help="where the logs are written")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.dir))).resolve()
        if chosen.other:
            compare(chosen.other, chosen.events, folder, chosen.rounds)
            return
        url = stack.enter_context(server()) if chosen.postgres else f"sqlite:///{folder}/log.db"
        run(sys.executable, "fill", url, chosen.events)
        views = chosen.views or list(CASES)
        if views[0] == "NextEntries":
            run(sys.executable, "bring_up", url, "Entries")
        for view in views:
            (wall, cpu), alone, beside = beside_writer(url, view, chosen.control)
            print(f"{CASES[view]}: {wall:.1f} s, {cpu:.1f} s of processor time")
            print(f"  without it {alone}\n  beside it  {beside}", flush=True)


if __name__ == "__main__":
    main()
