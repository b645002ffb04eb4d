"""Opening a registry: by a URL, upon a store of the caller's own, by the settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.signatures import same_signatures

from eventstore import ConfigError, EventStore, NewEvent, StoreClosedError
from projections.registry import Registry, RegistryProtocol, RegistryTables, get_registry

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.anyio, pytest.mark.promise("registry")]


def test_it_has_the_shape_of_the_protocol() -> None:
    assert isinstance(Registry("memory://"), RegistryProtocol)
    same_signatures(RegistryProtocol, Registry, methods=18)


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
