"""What servers do not offer is a typed refusal; the list is that of the contracts left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.logs import data, some
from support.waiting import take

from eventstore import (
    AccessDeniedError,
    ConfigError,
    Cursor,
    EventStore,
    EventStoreError,
    InvalidInputError,
    NewEvent,
    NotServedError,
    StreamWrite,
)
from eventstore.log.operations import Acknowledge, OpenConsumer, RewindConsumer
from eventstore.storage.http._not_served import NotServed
from eventstore.storage.http.backend import HttpBackend
from eventstore.storage.protocols import MovableLog
from projections.rules.tables import RuleTables

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from support.served import Served

pytestmark = pytest.mark.anyio

CALLS: dict[str, Callable[[EventStore, Path], Awaitable[Any]]] = {
    "verify": lambda store, _: store.verify(),
    "redact": lambda store, _: store.redact(1, "personal"),
    "export": lambda store, path: store.export(path / "log.export"),
    "trim": lambda store, path: store.trim(2, archive=path / "log.archive"),
    "backup": lambda store, path: store.backup(path / "log.copy"),
    "query": lambda store, _: store.query(lambda connection, head: head.position),
    "transact": lambda store, _: store.transact(),
    "renew_incarnation": lambda store, _: store.renew_incarnation(),
    "build_view": lambda store, _: store.build_view(RuleTables()),
    "swap_view": lambda store, _: store.swap_view(RuleTables()),
}


async def test_what_servers_do_not_offer_is_refused(served: Served, tmp_path: Path) -> None:
    async with EventStore.open(served.url) as store:
        for name, call in CALLS.items():
            with pytest.raises(NotServedError) as refused:
                await call(store, tmp_path)
            assert refused.value.where == store.url, name
            assert served.url not in str(refused.value)
        assert (await store.append("a/1", some(1))).version == 1
    assert not list(tmp_path.iterdir())


async def test_what_would_fill_the_log_of_a_server_is_refused(
    served: Served, tmp_path: Path
) -> None:
    exported, copy = tmp_path / "log.export", tmp_path / "copy.db"
    async with EventStore.open(f"sqlite:///{tmp_path}/own.db") as own:
        await own.append("a/1", some(1))
        await own.export(exported)
        await own.backup(copy)
    async with EventStore.open(served.url) as store:
        before = await store.head()
        for call in (store.import_from(exported), EventStore.restore(copy, served.url)):
            with pytest.raises(NotServedError) as refused:
                await call
            assert refused.value.where == store.url
        assert await store.head() == before


def test_whatever_a_backend_does_a_server_offers_or_refuses() -> None:
    asked = {name for name in dir(MovableLog) if not name.startswith("_")}
    own = {name for kind in (HttpBackend, NotServed) for name in vars(kind)}
    assert asked - own <= {"url"}
    assert not {name for name in vars(NotServed) if name[0] != "_"} & set(vars(HttpBackend))


async def test_projections_inline_are_refused_before_anything_is_asked(served: Served) -> None:
    with pytest.raises(ConfigError, match="inline projections are computed where the log is"):
        EventStore.open(served.url, inline=[RuleTables()])


async def test_a_token_is_held_to_its_scopes_and_streams(served: Served) -> None:
    url = served.new_url("reader", "read", streams=("order/",))
    async with EventStore.open(served.url) as store:
        await store.append("order/1", some(1))
    async with EventStore.open(url) as store:
        assert [event.stream async for event in store.read(streams="order/")] == ["order/1"]
        for call in (store.append("order/1", some(1)), store.remove_consumer("w1")):
            with pytest.raises(AccessDeniedError) as refused:
                await call
            assert refused.value.status == 403
        for everything in (anext(store.read()), store.reports(), store.feed.log.told_views()):
            with pytest.raises(AccessDeniedError):
                await everything


async def test_a_token_for_some_streams_follows_them(served: Served) -> None:
    url = served.new_url("follower", "read", "ack", streams=("order/",))
    async with (
        EventStore.open(served.url) as store,
        EventStore.open(url) as limited,
        limited.subscribe_changes(streams="order/", consumer="w1") as changes,
    ):
        for number in range(3):
            order = StreamWrite("order/1", [NewEvent("T", number)])
            await store.append_many([order, StreamWrite("other/1", some(1))])
            assert data(await take(changes, 1)) == [number]


async def test_tokens_and_rejections_of_others_are_not_written_by_url(served: Served) -> None:
    async with EventStore.open(served.url) as store:
        for stream in ("audit/tokens", "log/trims", "consumer/w1"):
            with pytest.raises(InvalidInputError):
                await store.append(stream, some(1))


async def test_a_forged_cursor_begins_no_consumer(served: Served) -> None:
    async with EventStore.open(served.url) as store:
        log_id = (await store.head()).log_id
        for forged in (Cursor(log_id, -1, b""), Cursor(log_id, 1, b"x"), Cursor("other", 0, b"")):
            for operation in (
                OpenConsumer("w1", "host:1", forged),
                Acknowledge("w1", 0, forged),
                RewindConsumer("w1", forged, "host:1"),
            ):
                with pytest.raises(EventStoreError):
                    await store.feed.log.write(operation)
        assert await store.consumers() == []


async def test_an_unknown_token_is_refused_and_not_shown(served: Served) -> None:
    url = served.url.replace(served.url.split("@")[0], "http://not-a-token")
    with pytest.raises(AccessDeniedError) as refused:
        await EventStore.open(url).__aenter__()
    assert refused.value.status == 401
    assert "not-a-token" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["https://SECRET@h:99999", "https://h:SECRET", "https://h:1:SECRET"]
)
def test_a_url_that_is_none_is_refused_and_not_quoted(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        EventStore.open(url)
    assert "SECRET" not in str(refused.value)
    assert refused.value.__cause__ is None
