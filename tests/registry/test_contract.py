"""What callers of the registry rely on, on every backend."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from support.waiting import eventually, take

from eventstore import EventStore, HistoryGoneError, InvalidInputError
from eventstore.testing import START_US, FakeClock
from projections import ProjectionRunner
from projections.registry import Registration, Registry, RegistryTables

if TYPE_CHECKING:
    from pathlib import Path

    from projections.registry.queries.registrations import Row

pytestmark = [pytest.mark.anyio, pytest.mark.promise("registry")]

START = datetime.fromtimestamp(START_US / 1e6, UTC)


async def test_what_is_registered_is_read_at_once(registry: Registry, clock: FakeClock) -> None:
    made = await registry.register("b1", {"model": "x"}, metadata={"team": "red"})
    assert made == Registration("b1", {"model": "x"}, "active", {"team": "red"}, *[START] * 3)
    clock.now_us += 5_000_000
    assert await registry.get("b1") == Registration(
        "b1", {"model": "x"}, "active", {"team": "red"}, START, START,
        START + timedelta(seconds=5),
    )  # fmt: skip
    assert await registry.get_config("b1") == {"model": "x"}
    assert await registry.peek_config("b1") == {"model": "x"}


async def test_registering_again_replaces_all_but_the_time_of_creation(
    registry: Registry, clock: FakeClock
) -> None:
    await registry.register("b1", {"a": 1}, "error", metadata={"m": 1})
    clock.now_us += 1_000_000
    again = await registry.register("b1", {"b": 2})
    assert (again.config, again.status, again.metadata) == ({"b": 2}, "active", {})
    assert (again.created_at, again.updated_at) == (START, START + timedelta(seconds=1))
    assert again.last_accessed_at == START


async def test_only_get_and_get_config_move_the_time_of_access(
    registry: Registry, clock: FakeClock
) -> None:
    await registry.register("b1", {})

    async def accessed() -> datetime:
        (one,) = await registry.list_all()
        return one.last_accessed_at

    clock.now_us += 1_000_000
    await registry.peek_config("b1")
    await registry.exists("b1")
    await registry.list_active()
    await registry.list_ids()
    await registry.count()
    assert await accessed() == START
    await registry.get_config("b1")
    assert await accessed() == START + timedelta(seconds=1)
    clock.now_us += 1_000_000
    await registry.get("b1")
    assert await accessed() == START + timedelta(seconds=2)
    assert (await registry.log.head()).position == 1


async def test_times_of_access_are_seen_by_others_and_survive(
    lasting_url: str, clock: FakeClock
) -> None:
    async with (
        Registry(lasting_url, clock=clock) as one,
        Registry(lasting_url, clock=clock) as other,
    ):
        await one.register("b1", {})
        clock.now_us += 7_000_000
        await one.get("b1")

        async def seen() -> bool:
            (found,) = await other.list_all()
            return found.last_accessed_at == START + timedelta(seconds=7)

        await eventually(seen)
    async with EventStore.open(lasting_url) as store:
        await ProjectionRunner(store, RegistryTables().at(lasting_url)).rebuild()
    async with Registry(lasting_url, clock=clock) as again:
        (found,) = await again.list_all()
        assert found.last_accessed_at == START + timedelta(seconds=7)
        await again.unregister("b1")
        clock.now_us += 1_000_000
        made = await again.register("b1", {})
        assert made.last_accessed_at == made.created_at == START + timedelta(seconds=8)


async def test_deactivating_again_is_true_and_moves_the_time(
    registry: Registry, clock: FakeClock
) -> None:
    await registry.register("b1", {})
    for second in (1, 2):
        clock.now_us = START_US + second * 1_000_000
        assert await registry.deactivate("b1") is True
        (found,) = await registry.list_inactive()
        assert (found.updated_at, found.created_at) == (START + timedelta(seconds=second), START)
    assert await registry.deactivate("b2") is False


async def test_what_is_unregistered_is_gone_and_comes_last_when_it_returns(
    registry: Registry,
) -> None:
    await registry.register("a", {}, metadata={"x": 1})
    await registry.register("b", {})
    assert [await registry.unregister(bot_id) for bot_id in "aac"] == [True, False, False]
    assert (await registry.get("a"), await registry.get_config("a")) == (None, None)
    assert await registry.list_all(metadata={"x": 1}) == []
    await registry.register("a", {})
    assert await registry.list_ids() == ["b", "a"]
    await registry.register("b", {"new": True})
    assert await registry.list_ids() == ["b", "a"]


async def test_clearing_removes_everything_in_one_commit(registry: Registry) -> None:
    for bot_id in ("a", "b", "c"):
        await registry.register(bot_id, {})
    await registry.deactivate("b")
    await registry.clear()
    assert (await registry.list_all(), await registry.count_all()) == ([], 0)
    removed = [event async for event in registry.log.read(after=4)]
    assert ({event.commit for event in removed}, len(removed)) == ({7}, 3)
    await registry.clear()
    assert (await registry.log.head()).position == 7


async def test_what_cannot_be_stored_exactly_is_refused_before_anything_is(
    registry: Registry,
) -> None:
    bad: list[tuple[Any, ...]] = [
        ("", {}), (None, {}), ("x" * 256, {}), ("\ud800", {}), ("b", None), ("b", [1]),
        ("b", {"x": float("nan")}), ("b", {1: 2}), ("b", {"x": START}), ("b", {}, "paused"),
    ]  # fmt: skip
    for arguments in bad:
        with pytest.raises(InvalidInputError):
            await registry.register(*arguments)
    with pytest.raises(InvalidInputError):
        await registry.register("b", {}, metadata=[1])  # type: ignore[arg-type]
    assert (await registry.log.head()).position == 0
    assert (await registry.get(""), await registry.exists("\ud800")) == (None, False)
    assert (await registry.unregister(""), await registry.deactivate("x" * 256)) == (False, False)


async def test_returned_values_are_the_callers_own(registry: Registry) -> None:
    config: dict[str, Any] = {"list": [1]}
    made = await registry.register("b", config)
    config["list"].append(2)
    made.config["list"].append(3)
    found = await registry.get("b")
    assert found is not None
    assert found.config == {"list": [1]}
    found.config["list"].append(4)
    assert await registry.peek_config("b") == {"list": [1]}


async def test_changes_are_followed_from_what_was_read(registry: Registry) -> None:
    await registry.register("a", {"v": 1})
    assert await registry.count() == 1
    changes, one = registry.subscribe_changes(), registry.subscribe_changes("b")
    await registry.register("b", {"v": 2}, metadata={"m": 1})
    await registry.deactivate("a")
    await registry.unregister("b")
    seen = await take(changes, 3)
    assert [(change.kind, change.bot_id) for change in seen] == [
        ("registered", "b"), ("deactivated", "a"), ("unregistered", "b"),
    ]  # fmt: skip
    assert (seen[0].config, seen[0].metadata, seen[0].by) == ({"v": 2}, {"m": 1}, "tests")
    assert [change.kind for change in await take(one, 2)] == ["registered", "unregistered"]
    await changes.aclose()
    await one.aclose()


async def test_history_and_what_was(registry: Registry) -> None:
    await registry.register("a", {"v": 1})
    await registry.register("a", {"v": 2}, metadata={"m": 1})
    await registry.deactivate("a")
    await registry.unregister("a")
    await registry.register("a", {"v": 3})
    assert [change.kind for change in await registry.history("a")] == [
        "registered", "registered", "deactivated", "unregistered", "registered",
    ]  # fmt: skip
    was = [await registry.get_as_of("a", position) for position in range(6)]
    assert [one and (one.config["v"], one.status) for one in was] == [
        None, (1, "active"), (2, "active"), (2, "inactive"), None, (3, "active"),
    ]  # fmt: skip


async def test_a_trim_hides_nothing_of_what_stands_and_refuses_what_it_removed(
    registry: Registry, tmp_path: Path
) -> None:
    await registry.register("a", {"v": 1})
    await registry.register("a", {"v": 2}, metadata={"m": 1})
    await registry.register("a", {"v": 3}, metadata={"m": 2})
    await registry.deactivate("a")
    await registry.register("gone", {"v": 4})
    await registry.unregister("gone")
    before = await registry.get_as_of("a", 6)
    await registry.log.trim((await registry.log.head()).position + 1, archive=tmp_path / "old")
    assert before == await registry.get_as_of("a", 6)
    assert before == await registry.get_as_of("a", 10**9)
    assert await registry.get_as_of("gone", 6) is None
    assert [change.config for change in await registry.history("a")] == [{"v": 1}, {"v": 3}, None]
    assert await registry.history("gone") == []
    for position in (0, 1, 5):
        with pytest.raises(HistoryGoneError, match="what stood before position 6 is unknown"):
            await registry.get_as_of("a", position)


async def test_redacted_content_is_gone_from_the_tables(registry: Registry) -> None:
    await registry.register("a", {"v": "secret"})
    await registry.register("b", {"v": "secret"})
    await registry.register("b", {"v": "public"})
    await registry.log.redact(1, "no business here")
    await registry.log.redact(2, "no business here")
    assert (await registry.get("a"), await registry.peek_config("b")) == (None, {"v": "public"})
    await registry.log.redact(3, "neither")
    assert await registry.list_all() == []

    def rows(connection: Any, _: Any) -> list[Any]:
        return [*connection.execute(text("SELECT body FROM bot"))]

    assert await registry.log.query(rows) == []


def test_a_registration_goes_through_a_dict_and_back() -> None:
    one = Registration("b", {"a": [1, None]}, "error", {"k": "v"}, START, START, START)
    assert one.to_dict()["created_at"] == START.isoformat()
    assert Registration.from_dict(one.to_dict()) == one
    assert Registration.from_dict({"bot_id": "b", "config": {}, "more": 1}).status == "active"
    absent = dict.fromkeys(("status", "metadata", "created_at", "updated_at", "last_accessed_at"))
    read = Registration.from_dict({"bot_id": "b", "config": {}, **absent})
    assert (read.status, read.metadata, read.created_at.tzinfo) == ("active", {}, UTC)
    for bad in ({}, {"bot_id": "b", "config": None}, {"bot_id": "b", "config": [1]},
                {"bot_id": "b", "config": {}, "created_at": "never"},
                {"bot_id": "b", "config": {}, "status": "?"},
                {"bot_id": "b", "config": {}, "created_at": "2026-01-01"}):  # fmt: skip
        with pytest.raises(InvalidInputError):
            Registration.from_dict(bad)


async def test_a_registration_tells_its_own_time_whoever_wrote_since(
    registry: Registry, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    find = registry._find

    async def find_late(bot_id: str) -> Row | None:
        monkeypatch.undo()
        clock.now_us += 1_000_000
        await registry.register(bot_id, {"of": "another"})
        return await find(bot_id)

    monkeypatch.setattr(registry, "_find", find_late)
    mine = await registry.register("helper", {"of": "mine"})
    assert mine.config == {"of": "mine"}
    assert mine.created_at == mine.updated_at == START
    found = await registry.get("helper")
    assert found is not None
    assert found.config == {"of": "another"}
    assert found.updated_at - found.created_at == timedelta(seconds=1)
