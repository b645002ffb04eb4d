"""Agents: sessions that live, and assignments that exactly one caller wins."""

from __future__ import annotations

import contextlib
from datetime import datetime
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.journals import PROJECT
from support.waiting import eventually

from eventstore import ConflictError, InvalidInputError
from eventstore.log.clock import from_microseconds
from eventstore.testing import START_US, FakeClock
from projections.journal import Journal

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.anyio

NOW = from_microseconds(START_US).isoformat()


async def test_an_agent_is_assigned_and_the_first_version_is_one(journal: Journal) -> None:
    assert await journal.get_agent_project("ana") is None
    expected = {
        "agent_id": "ana",
        "project_name": "p",
        "version": 1,
        "updated_at": NOW,
        "updated_by": "bo",
        "session_id": "s",
    }
    assert await journal.set_agent_project("ana", "p", None, "bo", "s") == expected
    assert await journal.get_agent_project("ana") == expected


async def test_an_assignment_is_set_regardless_or_if_it_is_as_expected(
    journal: Journal, clock: FakeClock
) -> None:
    await journal.set_agent_project("ana", "p", None, "ana", None)
    clock.now_us += 1
    second = await journal.set_agent_project("ana", None, 1, None, None)
    assert (second["version"], second["project_name"], second["updated_by"]) == (2, None, None)
    assert second["updated_at"] == from_microseconds(START_US + 1).isoformat()
    assert second == await journal.get_agent_project("ana")
    third = await journal.set_agent_project("ana", "q", None, "bo", None)
    assert third["version"] == 3


@pytest.mark.parametrize("expected", [0, 1, 3, 99, -1, 2**70])
async def test_another_version_is_a_conflict_with_both(journal: Journal, expected: int) -> None:
    await journal.set_agent_project("ana", "p", None, "ana", None)
    before = await journal.set_agent_project("ana", "p", None, "ana", None)
    with pytest.raises(ConflictError) as caught:
        await journal.set_agent_project("ana", "q", expected, "bo", None)
    assert (caught.value.expected, caught.value.actual) == (expected, 2)
    assert await journal.get_agent_project("ana") == before
    with pytest.raises(ConflictError) as caught:
        await journal.set_agent_project("nobody", "q", expected, "bo", None)
    assert (caught.value.expected, caught.value.actual) == (expected, 0)
    assert await journal.get_agent_project("nobody") is None


@pytest.mark.parametrize("expected", ["1", 1.0, True])
async def test_what_is_no_version_is_refused(journal: Journal, expected: Any) -> None:
    with pytest.raises(InvalidInputError, match="expected_version"):
        await journal.set_agent_project("ana", "p", expected, "ana", None)


async def attempt(journal: Journal, name: str, version: int, won: list[str]) -> None:
    with contextlib.suppress(ConflictError):
        await journal.set_agent_project("ana", name, version, name, None)
        won.append(name)


@pytest.mark.promise("journal")
async def test_of_many_that_expect_one_version_exactly_one_wins(lasting_url: str) -> None:
    async with Journal(lasting_url) as one, Journal(lasting_url) as two:
        await one.set_agent_project("ana", "p", None, "ana", None)
        for version in range(1, 6):
            won: list[str] = []
            async with anyio.create_task_group() as tasks:
                for number in range(10):
                    tasks.start_soon(attempt, (one, two)[number % 2], f"p{number}", version, won)
            async with Journal(lasting_url) as fresh:
                assert [(await fresh.get_agent_project("ana") or {})["project_name"]] == won


async def test_an_assignment_that_went_with_its_project_is_missing(journal: Journal) -> None:
    await journal.upsert_project(**PROJECT)
    await journal.set_agent_project("ana", "p", None, "ana", None)
    await journal.delete_project("p")
    with pytest.raises(ConflictError) as caught:
        await journal.set_agent_project("ana", "q", 1, "ana", None)
    assert caught.value.actual == 0
    # A version that another caller may have read is not used again.
    assert (await journal.set_agent_project("ana", "q", None, "ana", None))["version"] == 2


async def test_a_session_begins_lives_and_ends(journal: Journal, clock: FakeClock) -> None:
    assert await journal.fetch_agent_session("s") is None
    await journal.upsert_agent_session("ana", "s", {"model": "x", "nul": "\0"})
    session = {
        "session_id": "s",
        "agent_id": "ana",
        "metadata": {"model": "x", "nul": "\0"},
        "status": "active",
        "started_at": NOW,
        "last_active_at": NOW,
        "ended_at": None,
    }
    assert await journal.fetch_agent_session("s") == session
    clock.now_us += 1_000_000
    await journal.heartbeat_session("s")
    later = from_microseconds(clock.now_us).isoformat()
    assert await journal.fetch_agent_session("s") == {**session, "last_active_at": later}
    clock.now_us += 1_000_000
    await journal.end_session("s")
    await journal.end_session("s")
    await journal.heartbeat_session("s")
    ended = await journal.fetch_agent_session("s")
    end = from_microseconds(clock.now_us).isoformat()
    assert ended == {**session, "last_active_at": later, "status": "ended", "ended_at": end}
    await journal.upsert_agent_session("bo", "s", None)
    again = await journal.fetch_agent_session("s")
    assert again == {**session, "agent_id": "bo", "metadata": None, "last_active_at": end}


async def test_heartbeats_cost_no_events_and_outlive_their_process(
    lasting_url: str, clock: FakeClock
) -> None:
    async with Journal(lasting_url, clock=clock) as journal, Journal(lasting_url) as other:
        await journal.upsert_agent_session("ana", "s\0", None)
        for _ in range(100):
            clock.now_us += 1_000_000
            await journal.heartbeat_session("s\0")
        assert await journal.position() == 1
        last = from_microseconds(clock.now_us).isoformat()

        async def seen_by_other() -> bool:
            session = await other.fetch_agent_session("s\0")
            return session is not None and session["last_active_at"] == last

        await eventually(seen_by_other)
    async with Journal(lasting_url) as fresh:
        session = await fresh.fetch_agent_session("s\0")
        assert session is not None
        assert datetime.fromisoformat(session["last_active_at"]) == from_microseconds(clock.now_us)


async def test_a_heartbeat_or_end_of_an_unknown_session_is_nothing(journal: Journal) -> None:
    await journal.heartbeat_session("s")
    await journal.end_session("s")
    assert await journal.fetch_agent_session("s") is None
    assert await journal.position() == 0


@pytest.mark.parametrize("bad", ["", None, "x" * 256])
async def test_what_cannot_be_an_id_is_refused(journal: Journal, bad: Any, tmp_path: Path) -> None:
    for call in (
        journal.upsert_agent_session(bad, "s", None),
        journal.upsert_agent_session("ana", bad, None),
        journal.heartbeat_session(bad),
        journal.end_session(bad),
        journal.get_agent_project(bad),
        journal.set_agent_project(bad, "p", None, "ana", None),
    ):
        with pytest.raises(InvalidInputError):
            await call
    assert await journal.position() == 0
