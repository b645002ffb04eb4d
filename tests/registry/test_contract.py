"""What callers of the registry rely on, on every backend."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import text
from support.logs import START_US, FakeClock
from support.signatures import same_signatures
from support.waiting import eventually, take

from eventstore import ConfigError, EventStore, InvalidInputError, NewEvent, StoreClosedError
from projections import ProjectionRunner
from projections.registry import (
    Registration,
    Registry,
    RegistryProtocol,
    RegistryTables,
    get_registry,
)

if TYPE_CHECKING:
    from pathlib import Path

    from projections.registry.queries.registrations import Row

pytestmark = [pytest.mark.anyio, pytest.mark.promise("registry")]

START = datetime.fromtimestamp(START_US / 1e6, UTC)


def ids(found: list[Registration]) -> list[str]:
    return [one.bot_id for one in found]


def test_it_has_the_shape_of_the_protocol() -> None:
    assert isinstance(Registry("memory://"), RegistryProtocol)
    same_signatures(RegistryProtocol, Registry, methods=18)


class Order(Enum):
    ASC = "asc"
    DESC = "desc"


@dataclass
class SortBy:
    """A sort entry of the caller's own class."""

    field: str
    order: Order = Order.ASC


async def test_lists_are_sorted_by_any_field_and_by_metadata(
    registry: Registry, clock: FakeClock
) -> None:
    values: dict[str, Any] = {
        "n": None, "false": False, "true": True, "-big": -(2**63), "-1.5": -1.5, "-1": -1, "0": 0,
        "tiny": 1e-310, "0.5": 0.5, "1": 1, "2**53": 2.0**53, "2**53+1": 2**53 + 1, "1e300": 1e300,
        "empty": "", "nul": "\0", "one": "\1", "B": "B", "b": "b", "bb": "bb", "ü": "ü",
        "list": [1], "object": {"a": 1},
    }  # fmt: skip
    order = [*list(values)[1:], "missing", "n"]
    for name in [*reversed(values), "missing"]:
        await registry.register(name, {}, metadata={"k": values[name]} if name in values else {})
    by_key = await registry.list_all(sort=[SortBy("metadata.k")])
    assert sorted(ids(by_key)[-2:]) == ["missing", "n"]
    assert ids(by_key)[:-2] == order[:-2]
    backwards = ids(await registry.list_all(sort=SortBy("metadata.k", Order.DESC), limit=20))
    assert backwards == order[:-2][::-1][:20]
    clock.now_us += 1_000_000
    await registry.get("1")
    last = {"field": "last_accessed_at", "order": "DESC"}
    assert ids(await registry.list_all(sort=last))[:2] == ["1", "object"], "ties: the first one"
    await registry.register("1", {}, "error")
    assert ids(await registry.list_all(sort=["status", "-updated_at"]))[-1] == "1"
    assert ids(await registry.list_all(sort=("updated_at", "desc"), limit=1)) == ["1"]
    assert ids(await registry.list_all(sort="-bot_id", status="error")) == ["1"]


WRONG: list[dict[str, Any]] = [
    {"sort": "config"}, {"sort": 5}, {"sort": [5]}, {"sort": ("updated_at", "up")},
    {"sort": {"field": "bot_id", "way": "desc"}}, {"sort": {"order": "desc"}}, {"sort": b"bot_id"},
    {"sort": ["bot_id"] * 17}, {"status": "gone"}, {"filter_metadata": [1]},
    {"filter_metadata": {1: 2}}, {"filter_metadata": {"k": {1, 2}}}, {"offset": -1},
]  # fmt: skip


async def test_what_a_list_cannot_mean_is_refused() -> None:
    async with Registry("memory://") as registry:
        for options in WRONG:
            with pytest.raises(InvalidInputError):
                await registry.list_all(**options)


async def test_metadata_of_any_mapping_is_stored_filtered_and_counted(registry: Registry) -> None:
    inner = {"tier": 1}
    given = MappingProxyType({"team": "red", "nested": MappingProxyType(inner)})
    made = await registry.register("a", MappingProxyType({"c": 1}), metadata=given)
    inner["tier"] = 2
    assert (made.config, made.metadata) == ({"c": 1}, {"team": "red", "nested": {"tier": 1}})
    await registry.register("b", {}, "inactive", metadata=UserDict(team="red"))
    await registry.register("c", {}, metadata={"team": "blue"})
    red = MappingProxyType({"team": "red"})
    assert ids(await registry.list_all(filter_metadata=red)) == ["a", "b"]
    assert ids(await registry.list_active(filter_metadata=red, offset=None)) == ["a"]
    assert ids(await registry.list_inactive(filter_metadata=red)) == ["b"]
    assert ids(await registry.list_all(status="active", filter_metadata={})) == ["a", "c"]
    nested = {"nested": MappingProxyType({"tier": 1})}
    assert ids(await registry.list_all(filter_metadata=nested)) == ["a"]
    assert await registry.count(filter_metadata=red) == 1
    assert await registry.count_inactive(filter_metadata=red) == 1
    assert await registry.count_all(filter_metadata=red) == 2
    assert await registry.count_all(status="inactive", filter_metadata=None) == 1


async def test_a_stream_gives_each_registration_once_while_others_come(
    registry: Registry,
) -> None:
    for number in range(7):
        await registry.register(f"b{number}", {}, metadata={"even": number % 2 == 0})
    seen: list[str] = []
    async for one in registry.stream(config=SimpleNamespace(batch_size=2)):
        seen.append(one.bot_id)
        await registry.register(f"new{len(seen)}", {})
        if one.bot_id == "b2":
            await registry.unregister("b5")
    assert seen == ["b0", "b1", "b2", "b3", "b4", "b6"]
    await registry.deactivate("b0")
    even = registry.stream(status="active", filter_metadata={"even": True})
    assert [one.bot_id async for one in even] == ["b2", "b4", "b6"]
    with pytest.raises(InvalidInputError):
        registry.stream(config=SimpleNamespace(batch_size=0))


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


async def test_inactive_ones_are_read_but_not_listed_as_active(registry: Registry) -> None:
    for bot_id in ("a", "b", "c"):
        await registry.register(bot_id, {"id": bot_id})
    assert await registry.deactivate("b") is True
    await registry.register("e", {}, "error")
    assert (await registry.get_config("b"), await registry.exists("b")) == ({"id": "b"}, False)
    assert ids(await registry.list_active()) == await registry.list_ids() == ["a", "c"]
    assert ids(await registry.list_inactive()) == ["b"]
    assert ids(await registry.list_all()) == ["a", "b", "c", "e"]
    counts = [registry.count, registry.count_inactive, registry.count_all]
    assert [await count() for count in counts] == [2, 1, 4]


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


async def test_lists_are_sorted_filtered_and_cut_in_the_database(
    registry: Registry, clock: FakeClock
) -> None:
    for number in range(10):
        metadata = {"team": "red" if number % 2 else "blue", "n": number}
        await registry.register(f"b{9 - number}", {}, metadata=metadata)
        clock.now_us += 1_000_000
    await registry.deactivate("b5")
    order = [f"b{9 - number}" for number in range(10)]
    assert ids(await registry.list_all(limit=3, offset=2)) == order[2:5]
    assert ids(await registry.list_all(offset=8)) == order[8:]
    assert ids(await registry.list_all(sort="bot_id")) == sorted(order)
    assert ids(await registry.list_all(sort="bot_id", descending=True, limit=1)) == ["b9"]
    assert ids(await registry.list_all(sort="updated_at", descending=True))[:2] == ["b5", "b0"]
    assert ids(await registry.list_all(sort="status"))[-1] == "b5"
    assert ids(await registry.list_active(metadata={"team": "red"}, limit=2)) == ["b8", "b6"]
    assert ids(await registry.list_all(metadata={"team": "red", "n": 3})) == ["b6"]
    assert await registry.count_all(metadata={"team": "blue"}) == 5
    assert await registry.list_all(limit=0) == []
    for wrong in ({"sort": "x"}, {"limit": -1}, {"offset": True}, {"metadata": {1, 2}}):
        with pytest.raises(InvalidInputError):
            await registry.list_all(**wrong)


async def test_metadata_is_compared_as_json(registry: Registry) -> None:
    values: list[Any] = [1, 1.0, True, "1", None, [1], {"a": {"b": None}}, {}, "", "ü\0"]
    for number, value in enumerate(values):
        await registry.register(f"b{number}", {}, metadata={"k": value})
    await registry.register("without", {})
    for number, value in enumerate(values):
        assert ids(await registry.list_all(metadata={"k": value})) == [f"b{number}"]
    assert ids(await registry.list_all(metadata={"k": {"a": {}}})) == []


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


async def test_it_sees_what_a_program_without_its_view_appends(lasting_url: str) -> None:
    async with Registry(lasting_url) as registry:
        await registry.register("a", {})
        async with EventStore.open(lasting_url) as other:
            data: dict[str, Any] = {"bot_id": "b", "config": {}, "status": "active", "metadata": {}}
            await other.append("bot/b", [NewEvent("BotRegistered", data)])
            await other.append("bot/c", [NewEvent("BotRegistered", {"bot_id": "x"})])
            await other.append("bot/d", [NewEvent("Strange", b"\0")])
        assert await registry.list_ids() == ["a", "b"]


async def test_a_store_of_the_callers_own_serves_it(url: str) -> None:
    async with EventStore.open(url, inline=[RegistryTables()]) as store:
        async with Registry(store) as registry:
            await registry.register("a", {})
            await registry.get("a")
        assert (await store.head()).position == 1
    async with EventStore.open("memory://") as store:
        with pytest.raises(ConfigError, match="RegistryTables"):
            Registry(store)


async def test_it_opens_twice_and_again_after_closing(lasting_url: str) -> None:
    registry = Registry(lasting_url)
    with pytest.raises(StoreClosedError):
        await registry.get("a")
    for _ in range(2):
        await registry.initialize()
        await registry.initialize()
        await registry.register("a", {})
        await registry.close()
        await registry.close()
    with pytest.raises(StoreClosedError):
        await registry.register("a", {})


async def test_the_settings_choose_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EVENTSTORE_URL", f"sqlite:///{tmp_path}/chosen.db")
    async with get_registry() as registry:
        await registry.register("a", {})
    assert (tmp_path / "chosen.db").exists()
    monkeypatch.setenv("EVENTSTORE_REGISTRY_TYPE", " MEMORY\n")
    async with get_registry() as registry:
        assert await registry.count_all() == 0
    monkeypatch.setenv("EVENTSTORE_REGISTRY_TYPE", "cloud")
    with pytest.raises(ValueError, match="database, memory"):
        get_registry()


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
