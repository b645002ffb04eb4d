"""An archive that has an event without content, whose redaction lies in the log it was cut from."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from support.logs import some
from support.waiting import collect

from eventstore import Event, EventStore
from eventstore.log.redaction import REDACTIONS

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("anyio_backend", ["asyncio"])]

UNEXPLAINED = "has no content, and no redaction says why"


async def redactions(store: EventStore) -> list[Event]:
    return await collect(store.read(streams=REDACTIONS, kept=True))


@pytest.fixture
async def told(url: str, tmp_path: Path) -> list[Event]:
    """Make a log whose event 2 was redacted, then trimmed before the redaction, then once more.

    The first archive is imported into ``archive.db``. Returns the log's redactions.
    """
    async with EventStore.open(url) as store:
        for _ in range(3):
            await store.append("a/1", some(2))
        await store.redact(2, "a request")
        await store.append("a/1", some(2))
        await store.trim(5, archive=tmp_path / "first.export")
        await store.trim(9, archive=tmp_path / "second.export")
        found = await redactions(store)
        assert (await store.verify()).ok
    async with EventStore.open(f"sqlite:///{tmp_path}/archive.db") as archive:
        await archive.import_from(tmp_path / "first.export")
    return found


async def findings(place: Path, given: list[Event]) -> list[str]:
    async with EventStore.open(f"sqlite:///{place}") as store:
        return [str(one) for one in (await store.verify(redactions=given)).findings]


async def test_an_archive_is_verified_with_the_redactions_of_its_log(
    tmp_path: Path, told: list[Event]
) -> None:
    place = tmp_path / "archive.db"
    assert await findings(place, []) == [f"event 2: {UNEXPLAINED}"]
    assert await findings(place, told) == []


async def test_an_event_blanked_by_another_hand_is_found(tmp_path: Path, told: list[Event]) -> None:
    place = tmp_path / "archive.db"
    with closing(sqlite3.connect(place, isolation_level=None)) as attacker:
        for (name,) in attacker.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'event'"
        ).fetchall():
            attacker.execute(f"DROP TRIGGER {name}")
        attacker.execute("UPDATE event SET data = NULL, metadata = NULL, salt = NULL")
    found = await findings(place, told)
    assert [f"event {n}: {UNEXPLAINED}" in found for n in (1, 2, 3, 4)] == [True, False, True, True]


async def test_a_redaction_of_another_event_explains_nothing(
    tmp_path: Path, told: list[Event]
) -> None:
    async with EventStore.open("memory://") as other:
        await other.append("b/1", some(10))
        await other.redact(2, "another log's")
        wrong = await redactions(other)
    assert await findings(tmp_path / "archive.db", wrong) == [
        "event 2: is not the one that was redacted"
    ]


async def test_a_redaction_that_the_log_itself_should_have_explains_nothing(
    tmp_path: Path, url: str
) -> None:
    async with EventStore.open("memory://") as early:
        await early.append("a/1", some(2))
        await early.redact(2, "too early")
        wrong = await redactions(early)
    async with EventStore.open(url) as store:
        for _ in range(3):
            await store.append("a/1", some(2))
        await store.redact(2, "a request")
        await store.trim(5, archive=tmp_path / "first.export")
    async with EventStore.open(f"sqlite:///{tmp_path}/archive.db") as archive:
        await archive.import_from(tmp_path / "first.export")
    # Position 3 is within the archive: what is there is no redaction.
    assert await findings(tmp_path / "archive.db", wrong) == [f"event 2: {UNEXPLAINED}"]
