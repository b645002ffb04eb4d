"""States of rules: set and get one, beside a plain table with the same columns."""

from __future__ import annotations

import sqlite3
import time
from contextlib import contextmanager
from dataclasses import astuple
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import psycopg

from benchmarks.measure import Row, Setting, latency_rows
from benchmarks.postgres import server
from eventstore import EventStore
from projections.rules import RuleState, RuleStore
from projections.rules.factory import SharedRuleStore
from projections.seams.background_loop import close_background_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

SAMPLES: Final = 300
RULES: Final = 1_000

_TABLE: Final = (
    "CREATE TABLE plain (rule_id TEXT PRIMARY KEY, state TEXT, confidence_max DOUBLE PRECISION, "
    "expires_at TEXT, reason TEXT, set_by TEXT, set_at TEXT)"
)
_UPSERT: Final = (
    "INSERT INTO plain VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (rule_id) DO UPDATE SET "
    "state = excluded.state, confidence_max = excluded.confidence_max, "
    "expires_at = excluded.expires_at, reason = excluded.reason, set_by = excluded.set_by, "
    "set_at = excluded.set_at"
)
_GET: Final = (
    "SELECT state, confidence_max, expires_at, reason, set_by, set_at FROM plain WHERE rule_id = ?"
)


class PlainStates:
    """The floor: one table, one durable commit for each state, no history."""

    def __init__(self, execute: Callable[[str, Sequence[Any]], list[Any]]) -> None:
        self._execute = execute
        execute(_TABLE, ())

    async def set_state(self, rule_id: str, state: RuleState, set_by: str) -> None:
        """Write one row."""
        told = astuple(state)[:4]
        self._execute(_UPSERT, (rule_id, *told, set_by, datetime.now(UTC).isoformat()))

    async def get_state(self, rule_id: str) -> RuleState:
        """Read one row."""
        found = self._execute(_GET, (rule_id,))
        values: list[Any] = [*found[0]]
        values[-1] = datetime.fromisoformat(values[-1])
        return RuleState(*values)


@contextmanager
def _places(setting: Setting) -> Iterator[dict[str, tuple[str, str, PlainStates]]]:
    """Give two logs of each kind, and their floor."""
    in_file = sqlite3.connect(setting.folder / "plain.db", isolation_level=None)
    in_file.execute("PRAGMA journal_mode=WAL")
    in_file.execute("PRAGMA synchronous=FULL")
    with (
        server() as url,
        server() as second,
        server() as other,
        psycopg.connect(other, autocommit=True) as on_server,
    ):

        def on_postgres(sql: str, values: Sequence[Any]) -> list[Any]:
            cursor = on_server.execute(sql.replace("?", "%s"), values)
            return cursor.fetchall() if cursor.description else []

        yield {
            "SQLite": (
                f"sqlite:///{setting.folder / 'log.db'}",
                f"sqlite:///{setting.folder / 'second.db'}",
                PlainStates(lambda sql, values: in_file.execute(sql, values).fetchall()),
            ),
            "PostgreSQL": (url, second, PlainStates(on_postgres)),
        }
    in_file.close()


async def states(setting: Setting) -> list[Row]:
    """Set a state of one of 1,000 rules and get one: ms; by a store of the loop, and a shared one.

    The shared one is what ``get_rule_store()`` gives: it runs in a loop of its own, and has a log
    of its own here. Two stores that append to one log in turn each find it moved by the other.
    """
    rows: list[Row] = []
    with _places(setting) as found:
        for kind, (url, second, plain) in found.items():
            async with EventStore.open(url) as log:
                rows += await _measured(kind, {"ours": RuleStore(log), "plain": plain}, setting)
            make: Any = partial(EventStore.open, second)
            shared = {"ours, shared": SharedRuleStore(make, None), "plain": plain}
            rows += await _measured(f"{kind}, shared", shared, setting)
            close_background_loop()
    return rows


async def _measured(kind: str, stores: dict[str, Any], setting: Setting) -> list[Row]:
    samples = await _samples(stores, setting.scaled(SAMPLES))
    return [
        row for name, taken in samples.items() for row in latency_rows(f"{kind}: {name}", taken)
    ]


async def _samples(stores: dict[str, Any], count: int) -> dict[str, dict[str, list[float]]]:
    taken: dict[str, dict[str, list[float]]] = {
        work: {name: [] for name in stores} for work in ("set a state", "get a state")
    }
    for at in range(-20, count):  # The first ones warm up.
        rule_id, state = f"R{at % RULES:04d}", RuleState("clipped", 0.5, reason=f"noisy {at}")
        for name, store in stores.items():
            began = time.perf_counter_ns()
            await store.set_state(rule_id, state, "ana")
            middle = time.perf_counter_ns()
            await store.get_state(rule_id)
            if at >= 0:
                taken["set a state"][name].append((middle - began) / 1e6)
                taken["get a state"][name].append((time.perf_counter_ns() - middle) / 1e6)
    return taken
