"""Computing the tables of rules from the first event, beside a plain loop of the same statements.

``python -m benchmarks.rebuilding [--events 1000000] [--postgres] [--rounds 3] [--log FILE]``. The
history is of 3,780 rules, seven definitions to three states, 500 events a commit. ``--log`` keeps
it. Each rebuild is a process of its own, in turns; the tables are in another file, or another
schema of the same server. The loop reads the log's rows and upserts each, in transactions of 2,000
events.

``--kills 10`` computes the tables in processes that are killed, and compares them with a rebuild.
``--writers`` appends beside a rebuild, and beside a process that uses as much of the processor.
``--peer 200000`` has pyeventsourcing's runner project so many events of its own, on PostgreSQL.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from benchmarks.postgres import server
from benchmarks.rebuilding_faults import digest, resume, start, writers
from benchmarks.rule_history import make_history

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CONTESTANTS: Final = ("ours", "plain")


def run(role: str, url: str, target: str) -> tuple[float, float, float]:
    """Do one rebuild; return events/s, the same of processor time, and the MB at the most."""
    with start(role, url, target) as process:
        said, _ = process.communicate()
    _, seconds, cpu, peak, events = said.splitlines()[-1].split()
    return float(events) / float(seconds), float(events) / float(cpu), float(peak)


def show(name: str, runs: list[tuple[float, float, float]]) -> None:
    """Print medians and the worst."""
    rates, cpus, peaks = zip(*runs, strict=True)
    print(
        f"{name:6} {statistics.median(rates):9,.0f} events/s (worst {min(rates):,.0f}), "
        f"{statistics.median(cpus):9,.0f} a second of processor time, "
        f"{max(peaks):.0f} MB at the most",
        flush=True,
    )


def compare(url: str, place: Callable[[str], str], rounds: int, roles: Sequence[str]) -> None:
    """Measure ours, beside the plain loop where it is asked for, in turns."""
    found: dict[str, list[tuple[float, float, float]]] = {role: [] for role in roles}
    for number in range(rounds):
        for role in sorted(roles, reverse=bool(number % 2)):
            found[role].append(run(role, url, place(f"{role}{number}")))
    for role, runs in found.items():
        show(role, runs)
    if len(roles) < len(CONTESTANTS):
        return
    ratios = [one[0] / other[0] for one, other in zip(*found.values(), strict=True)]
    print(f"ours / plain {statistics.median(ratios):.2f} (worst {min(ratios):.2f})")


def kill(url: str, place: Callable[[str], str], events: int, kills: int) -> None:
    """Compare tables that were computed in spite of kills with those of a rebuild."""
    whole, parts = place("whole"), place("parts")
    run("ours", url, whole)
    reached = resume(url, parts, events, kills)
    if digest(whole) != digest(parts):
        raise SystemExit(f"after kills at {reached} the tables are others than those of a rebuild")
    print(f"killed {len(reached)} times, the tables at {reached}: they are those of a rebuild")


def peer(base: str, events: int) -> None:
    """Let the peer project its own history."""
    from benchmarks.rebuilding_peer import fill  # noqa: PLC0415 - of the extra ``bench``

    fill(base, events)
    show("pyeventsourcing", [run("peer", base, "")])


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3, help="0 for none")
    parser.add_argument("--postgres", action="store_true", help="on a private server")
    parser.add_argument("--dir", default=".", help="where logs and tables are written")
    parser.add_argument("--log", metavar="FILE", help="a SQLite log that is made once, and kept")
    parser.add_argument("--alone", action="store_true", help="without the plain loop")
    parser.add_argument("--kills", type=int, default=0, metavar="NUMBER")
    parser.add_argument("--writers", type=int, default=0, metavar="ROUNDS", const=5, nargs="?")
    parser.add_argument("--peer", type=int, default=0, metavar="EVENTS")
    chosen = parser.parse_args()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.dir))).resolve()
        url, base = f"sqlite:///{Path(chosen.log or folder / 'log.db').resolve()}", ""
        if chosen.postgres or chosen.peer:
            pg = stack.enter_context(server())
            base = pg.partition("?")[0]
            url = pg if chosen.postgres else url

        def place(name: str) -> str:
            """Return where tables are: a new file, or a new schema of the server."""
            if not chosen.postgres:
                return f"sqlite:///{folder}/{name}.db"
            with psycopg.connect(base, autocommit=True) as connection:
                connection.execute(f"CREATE SCHEMA {name}".encode())
            return f"{base}?options=-csearch_path%3D{name}"

        if chosen.peer:
            peer(base, chosen.peer)
        make_history(url, chosen.events)
        if chosen.rounds:
            compare(url, place, chosen.rounds, CONTESTANTS[: 1 if chosen.alone else 2])
        if chosen.kills:
            kill(url, place, chosen.events, chosen.kills)
        if chosen.writers:
            if chosen.log:
                parser.error("--writers appends to the log: without --log")
            writers(url, place("beside"), chosen.writers)


if __name__ == "__main__":
    main()
