"""Computing the tables of rules from the first event, beside a plain loop of the same statements.

``python -m benchmarks.rebuilding [--events 1000000] [--postgres] [--rounds 3]``. The history is of
3,780 rules, seven definitions to three states, 500 events a commit. Each rebuild is a process of
its own, in turns; the tables are in another file, or another schema of the same server. The loop
reads the log's rows and upserts each, in transactions of 2,000 events.
"""

from __future__ import annotations

import argparse
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec
import psycopg

from benchmarks.postgres import server
from eventstore import EventStore, NewEvent, StreamWrite
from eventstore.storage.sqlite.paths import log_file
from eventstore.sync import EventStore as BlockingStore
from projections import ProjectionRunner
from projections.rules import RuleTables

if TYPE_CHECKING:
    from collections.abc import Callable

RULES: Final = 3_780
COMMIT: Final = 500
PAGE: Final = 2_000

READ: Final = (
    "SELECT e.position, s.name, e.type, e.data, e.recorded_us FROM event e "
    "JOIN stream s ON s.id = e.stream_id WHERE e.position > {0} ORDER BY e.position LIMIT {0}"
)
RULE: Final = ("rule_id", "rule_version", "name", "source", "path", "format", "sha256", "rule",
               "position", "defined_at")  # fmt: skip
STATE: Final = ("rule_id", "state", "reason", "set_by", "json", "position")


def fill(url: str, events: int) -> None:
    """Make the history."""
    chance = random.Random(1)
    with BlockingStore.open(url) as store:
        for number in range(0, events, COMMIT):
            writes = {}
            for version in range(number, number + COMMIT):
                rule = f"R{chance.randrange(RULES):05d}"
                if chance.random() < 0.7:
                    writes[f"rule/{rule}"] = NewEvent("RuleDefined", definition(rule, version))
                else:
                    writes[f"rule-state/{rule}"] = NewEvent("RuleStateSet", {"state": STATE_SET})
            store.append_many([StreamWrite(name, [event]) for name, event in writes.items()])


STATE_SET: Final = {
    "state": "disabled",
    "confidence_max": None,
    "expires_at": None,
    "reason": "noise",
    "set_by": "op",
    "set_at": "2026-01-01T00:00:00+00:00",
}


def definition(rule: str, version: int) -> dict[str, Any]:
    """Return the data of a definition, about 500 bytes."""
    return {
        "path": f"{rule}.yml",
        "source": "rules",
        "format": "ttp",
        "sha256": "0" * 64,
        "content": f"id: {rule}\nversion: {version}\n",
        "rule": {
            "rule_id": rule,
            "rule_version": version,
            "name": f"rule {rule}",
            "applies_to": ["process"],
            "match_spec": {"field": "image", "equals": "x.exe"},
            "emits": [
                {
                    "technique_id": "T1059",
                    "sub_technique_id": None,
                    "tactic": "execution",
                    "confidence": 0.5,
                }
            ],
            "evidence_fields": ["image"],
            "description": "",
        },
    }


def ours(url: str, target: str) -> int:
    """Rebuild the tables by a runner; return the events."""

    async def run() -> int:
        async with EventStore.open(url) as store:
            await ProjectionRunner(store, RuleTables().at(target)).rebuild()
            return (await store.head()).position

    return anyio.run(run)


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


NUMBERS: Final = {"rule_version", "position"}


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


ROLES: Final = {"ours": ours, "plain": plain}


def child(role: str, url: str, target: str) -> None:
    """Do one rebuild in this process; print seconds, processor seconds, MB and events."""
    began, cpu = time.monotonic(), time.process_time()
    events = ROLES[role](url, target)
    seconds, cpu = time.monotonic() - began, time.process_time() - cpu
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(seconds, cpu, peak, events)


def main() -> None:
    """Measure, and print a line for each way with medians and the worst."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--postgres", action="store_true", help="on a private server")
    parser.add_argument("--dir", default=".", help="where the logs are written")
    parser.add_argument("--child", nargs=3, metavar=("ROLE", "URL", "TARGET"))
    chosen = parser.parse_args()
    if chosen.child:
        child(*chosen.child)
        return
    found: dict[str, list[tuple[float, float, int]]] = {role: [] for role in ROLES}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=chosen.dir))).resolve()
        url = f"sqlite:///{folder}/log.db"
        if chosen.postgres:
            url = stack.enter_context(server())
        fill(url, chosen.events)
        for number in range(chosen.rounds):
            for role in sorted(ROLES, reverse=bool(number % 2)):
                target = url if chosen.postgres else f"sqlite:///{folder}/{role}{number}.db"
                if chosen.postgres:
                    with psycopg.connect(url, autocommit=True) as connection:
                        connection.execute("DROP TABLE IF EXISTS plain_rule, plain_rule_state")
                command = [sys.executable, "-m", "benchmarks.rebuilding", "--child"]
                line = subprocess.run(
                    [*command, role, url, target], stdout=subprocess.PIPE, check=True, text=True
                ).stdout
                seconds, cpu, peak, events = map(float, line.split())
                found[role].append((events / seconds, events / cpu, int(peak)))
    for role, runs in found.items():
        rates = [rate for rate, _, _ in runs]
        print(
            f"{role:6} {statistics.median(rates):9,.0f} events/s (worst {min(rates):,.0f}), "
            f"{statistics.median([cpu for _, cpu, _ in runs]):9,.0f} a second of processor time, "
            f"{max(peak for _, _, peak in runs)} MB at the most"
        )


if __name__ == "__main__":
    main()
