"""Commits of git, searched by the database: the same as by looking at each event."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
from support.logs import LASTING, LOG_URLS
from support.served import serving_log

from eventstore import EventStore, NewEvent, StreamWrite
from eventstore.log.upcasting import Upcasters
from eventstore.moments.synced_commits import find_synced, synced_commit
from eventstore.storage import pages

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from eventstore import Event

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

COMMITS = [f"{number % 3:04x}{number:036x}" for number in range(1, 7)]
"""Commits of which two each begin with the same four digits."""


def some_metadata(chance: random.Random) -> dict[str, Any] | None:
    commit = chance.choice(COMMITS)
    return chance.choice([
        {"git": {"commit": commit, "subject": f"after {chance.choice(COMMITS)}"}},
        {"by": "ana", "git": {"commit": commit}},
        {"git": {"commit": commit.upper()}},
        {"git": {"commit": 7, "subject": commit}},
        {"git": commit},
        {"note": f"é of {commit}"},
        None,
    ])  # fmt: skip


def some_event(chance: random.Random) -> NewEvent:
    metadata = some_metadata(chance)
    return NewEvent(chance.choice(("A", "B")), {"text": COMMITS[0]}, metadata=metadata)


async def fill(store: EventStore, chance: random.Random) -> None:
    for _ in range(16):
        streams = chance.sample(("rule/R1", "rule/R2", "source/a", "a/1"), chance.randint(1, 3))
        await store.append_many([
            StreamWrite(stream, [some_event(chance) for _ in range(chance.randint(1, 3))])
            for stream in streams
        ])  # fmt: skip


def every_third(events: Iterable[Event]) -> list[int]:
    """Keep some events of those that a trim takes away."""
    return [event.position for event in events if event.position % 3 == 0]


def scan(events: Iterable[Event], start: str) -> dict[str, int]:
    """Find commits by looking at each event."""
    first: dict[str, dict[str, int]] = {}
    for event in events:
        found = synced_commit(event)
        if start.encode() in (event.raw_metadata or b"") and found and found.startswith(start):
            first.setdefault(found, {}).setdefault(event.stream, event.commit)
    return {found: max(streams.values()) for found, streams in first.items()}


async def compare(store: EventStore) -> int:
    """Compare both for whole hashes and beginnings, and return how many commits were found."""
    events, number = [event async for event in store.read(kept=True)], 0
    for start in (*COMMITS[2:5], "0000", "ffff"):
        for until in (events[-1].position, events[-1].position // 2):
            found = await find_synced(store, start, until)
            assert found == scan([e for e in events if e.position <= until], start), (start, until)
            number += len(found)
    return number


def _moved(data: Any, metadata: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Lift an event to one that comes from another commit."""
    return data, metadata | {"git": {"commit": COMMITS[3]}}


@pytest.mark.parametrize("kind", LASTING)
async def test_the_database_finds_what_a_look_at_each_event_finds(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(20)
    monkeypatch.setattr(pages, "SEARCH_WINDOW", 25)
    url = LOG_URLS[kind](tmp_path)
    async with EventStore.open(url) as store:
        await fill(store, chance)
        assert await compare(store) > 4
        for position in chance.sample(range(1, 30), 3):
            await store.redact(position, reason="it named a person")
        await store.trim(12, archive=tmp_path / "old.export", keep=every_third)
        assert await compare(store) > 4
    upcasters = Upcasters()
    upcasters.register("B")(_moved)
    async with EventStore.open(url, upcasters=upcasters) as store:
        assert COMMITS[3] in await find_synced(store, COMMITS[3], 1000)
        assert await compare(store) > 4
    if kind == "postgresql":
        return  # Of a log behind a server all events are read, and then compared.
    with serving_log(url) as served:
        async with EventStore.open(served.url) as store:
            assert await compare(store) > 4
