"""The registry's lists, counts and streams: filtered, sorted and cut, on every backend."""

from __future__ import annotations

from collections import UserDict
from dataclasses import dataclass
from enum import Enum
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import InvalidInputError
from projections.registry import Registry

if TYPE_CHECKING:
    from eventstore.testing import FakeClock
    from projections.registry import Registration

pytestmark = [pytest.mark.anyio, pytest.mark.promise("registry")]


def ids(found: list[Registration]) -> list[str]:
    return [one.bot_id for one in found]


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
