"""What the policies of a trim keep of 100,000 events of each seam, and how long they take."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from eventstore import Event
from eventstore.outbox.trim_policy import keep_letters
from projections.journal.trim_policy import keep_journal
from projections.memories.trim_policy import keep_memories
from projections.registry.trim_policy import keep_registry
from projections.rules.trim_policy import keep_rules
from projections.sql.trim_policy import keep_sql

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventstore.archive.keepers import Keep

COUNT = 100_000
THINGS = 1_000
"""Rules, bots, memories, rows and agents: each changes a hundred times."""


def rule(number: int) -> tuple[str, str, Any]:
    key = f"R{number % THINGS}"
    return f"rule/{key}", "RuleDefined", {
        "rule_id": key, "name": f"n{number}", "path": f"{key}.yml", "content": "x" * 300,
        "source": "s",
    }  # fmt: skip


def bot(number: int) -> tuple[str, str, Any]:
    key = f"bot{number % THINGS}"
    return f"bot/{key}", "BotRegistered", {
        "bot_id": key, "config": {"number": number, "text": "x" * 100}, "status": "active",
        "metadata": {"team": number % 7},
    }  # fmt: skip


def memory(number: int) -> tuple[str, str, Any]:
    key = f"m{number % THINGS}"
    return f"memory/{key}", "MemoryStored", {
        "id": key, "content": "x" * 200, "namespace": "learnings", "status": "active",
        "created_at": 1.0, "updated_at": float(number),
    }  # fmt: skip


def entry(number: int) -> tuple[str, str, Any]:
    stream = "journal/project:p"
    if number == 0:
        return stream, "ProjectSet", {"name": "p", "repo_root": "/", "progress_log_path": "/l"}
    return stream, "EntryInserted", {
        "entry_id": f"entry-{number:032}", "ts": "2026-03-01T12:00:00+00:00", "emoji": "x",
        "agent": "ana", "message": "x" * 100, "meta": {"n": number}, "raw_line": "x" * 100,
    }  # fmt: skip


def assignment(number: int) -> tuple[str, str, Any]:
    agent = f"a{number % THINGS}"
    return f"journal/agent:{agent}", "AgentProjectSet", {
        "agent_id": agent, "project_name": "p", "session_id": None, "updated_by": "ana",
    }  # fmt: skip


def row(_: int) -> tuple[str, str, Any]:
    return "sql/main", "RowsChanged", {"part": 1, "changes": []}


def letter(number: int) -> tuple[str, str, Any]:
    """Give an event up, and deliver it all the same, but for one in ten."""
    if number % 2 == 0:
        data = {"position": number + 1, "stream": "order/1", "reason": "answered 400"}
        return "consumer/o", "ChangeRejected", data
    failed = {"position": number, "reason": "answered 400"}
    return "consumer/~outbox/o", "DeliveryFailed" if number % 20 == 1 else "LetterDelivered", failed


def events(make: Callable[[int], tuple[str, str, Any]]) -> Iterator[Event]:
    for position in range(1, COUNT + 1):
        stream, type_, data = make(position - 1)
        raw = msgspec.json.encode(data)
        yield Event(position, stream, 1 + (position - 1) // THINGS, type_, position,
                    position.to_bytes(16), 0, raw, b"", position, b"")  # fmt: skip


@pytest.mark.soak
def test_what_is_kept_and_how_long_it_takes() -> None:
    kinds: list[tuple[str, Keep, Callable[[int], tuple[str, str, Any]]]] = [
        ("rules", keep_rules, rule), ("registry", keep_registry, bot),
        ("memories", keep_memories, memory), ("journal: entries", keep_journal, entry),
        ("journal: assignments", keep_journal, assignment), ("sql", keep_sql, row),
        ("letters", keep_letters, letter),
    ]  # fmt: skip
    for name, keep, make in kinds:
        found = list(events(make))
        taken = []
        for _ in range(5):
            began = time.process_time()
            kept = set(keep(found))
            taken.append(time.process_time() - began)
        others = time.process_time()
        for _, other, _ in kinds:
            if other is not keep:
                assert not set(other(found))
        others = time.process_time() - others
        taken.sort()
        print(f"{name:20}  kept {len(kept):7,} of {COUNT:,}  median {taken[2]:.2f} s  "
              f"worst {taken[-1]:.2f} s  the other policies together {others:.2f} s")  # fmt: skip
        assert len(kept) <= COUNT
