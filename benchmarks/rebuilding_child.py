"""What the benchmark ``rebuilding`` runs in processes of its own: ``ROLE URL TARGET``."""

from __future__ import annotations

import sys
import time
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec
import psycopg

from eventstore import EventStore
from eventstore.storage.sqlite.paths import log_file
from projections import ProjectionRunner
from projections.rules import RuleTables

if TYPE_CHECKING:
    from collections.abc import Callable

PAGE: Final = 2_000
SLICE_SECONDS: Final = 0.01

READ: Final = (
    "SELECT e.position, s.name, e.type, e.data, e.recorded_us FROM event e "
    "JOIN stream s ON s.id = e.stream_id WHERE e.position > {0} ORDER BY e.position LIMIT {0}"
)
RULE: Final = ("rule_id", "rule_version", "name", "source", "path", "format", "sha256", "rule",
               "position", "defined_at")  # fmt: skip
STATE: Final = ("rule_id", "state", "reason", "set_by", "json", "position")
NUMBERS: Final = {"rule_version", "position"}


def ours(url: str, target: str) -> int:
    """Rebuild the tables by a runner; return the events."""

    async def run() -> int:
        async with EventStore.open(url) as store:
            await ProjectionRunner(store, RuleTables().at(target)).rebuild()
            return (await store.head()).position

    return anyio.run(run)


def resume(url: str, target: str) -> int:
    """Compute the tables from where they are, from the first event at first; say how far."""

    async def run() -> int:
        async with EventStore.open(url) as store:
            runner = ProjectionRunner(store, RuleTables().at(target), progress=tell)
            return (await runner.catch_up()).position

    return anyio.run(run)


def tell(reached: int, _aim: int) -> None:
    """Print the position that is reached."""
    print("at", reached, flush=True)


def plain(url: str, target: str) -> int:
    """Do the same by a loop over the rows."""
    if url.startswith("sqlite"):
        import sqlite3  # noqa: PLC0415

        path = log_file(target)
        assert path is not None
        with (
            closing(sqlite3.connect(str(log_file(url)))) as log,
            closing(sqlite3.connect(path, isolation_level=None)) as tables,
        ):
            tables.execute("PRAGMA journal_mode = WAL")
            return loop(log.execute, tables.execute, "?")
    with psycopg.connect(url) as log, psycopg.connect(target, autocommit=True) as tables:
        return loop(log.execute, tables.execute, "%s")


def loop(read: Callable[..., Any], execute: Callable[..., Any], mark: str) -> int:
    """Read pages of rows, and upsert each of them."""
    upserts = {}
    for name, columns in (("rule", RULE), ("rule_state", STATE)):
        types = ", ".join(f"{c} {'bigint' if c in NUMBERS else 'text'}" for c in columns[1:])
        execute(f"CREATE TABLE plain_{name} (rule_id text PRIMARY KEY, {types})")
        news = ", ".join(f"{c} = excluded.{c}" for c in columns[1:])
        marks = ", ".join([mark] * len(columns))
        upserts[name] = (
            f"INSERT INTO plain_{name} ({', '.join(columns)}) VALUES ({marks}) "
            f"ON CONFLICT (rule_id) DO UPDATE SET {news}"
        )
    at = 0
    while rows := read(READ.format(mark), (at, PAGE)).fetchall():
        execute("BEGIN")
        for position, stream, kind, raw, recorded_us in rows:
            data = msgspec.json.decode(raw)
            if kind == "RuleDefined":
                execute(upserts["rule"], rule_row(data, position, recorded_us))
            else:
                execute(upserts["rule_state"], state_row(stream, data["state"], position))
        execute("COMMIT")
        at = rows[-1][0]
    return at


def rule_row(data: dict[str, Any], position: int, recorded_us: int) -> tuple[Any, ...]:
    """Return what the loop stores of a definition."""
    rule = data["rule"]
    text = msgspec.json.encode(rule).decode()
    own = (data["source"], data["path"], data["format"], data["sha256"], text)
    return (rule["rule_id"], rule["rule_version"], rule["name"], *own, position, str(recorded_us))


def state_row(stream: str, state: dict[str, Any], position: int) -> tuple[Any, ...]:
    """Return what the loop stores of a state."""
    key = stream.partition("/")[2]
    text = msgspec.json.encode(state).decode()
    return (key, state["state"], state["reason"], state["set_by"], text, position)


def peer(url: str, _target: str) -> int:
    """Let pyeventsourcing's runner project its own log of as many events."""
    from benchmarks.rebuilding_peer import project  # noqa: PLC0415 - of the extra ``bench``

    return project(url)


ROLES: Final = {"ours": ours, "plain": plain, "resume": resume, "peer": peer}


def rebuild_on(url: str, target: str) -> None:
    """Rebuild again and again, until killed."""
    while True:
        ours(url, target)


def burn(share: float) -> None:
    """Use so much of the processor, until killed."""
    while True:
        until = time.monotonic() + SLICE_SECONDS * share
        while time.monotonic() < until:
            sum(range(1_000))
        time.sleep(SLICE_SECONDS * (1 - share))


def main() -> None:
    """Do one rebuild in this process; print seconds, processor seconds, MB and events."""
    role, url, target = sys.argv[1:]
    if role == "burn":
        burn(float(target))
    if role == "rebuild-on":
        rebuild_on(url, target)
    began, cpu = time.monotonic(), time.process_time()
    events = ROLES[role](url, target)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    print("done", seconds, cpu, peak_megabytes(), events)


def peak_megabytes() -> int:
    """Return this program's largest resident memory; ``ru_maxrss`` begins with its parent's."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


if __name__ == "__main__":
    main()
