"""A server that lies about what it reads whole is found out by the hash chain."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from support.logs import data, some
from support.lying import lying_about
from support.served import serving_log
from support.waiting import take

from eventstore import EventStore, HistoryDivergedError, WrongPageError
from eventstore.log.operations import Query
from eventstore.remote import wire

if TYPE_CHECKING:
    from support.lying import Lie
    from support.served import Served

pytestmark = pytest.mark.anyio


def changed(page: wire.PageAnswer, **fields: Any) -> wire.PageAnswer:
    return msgspec.structs.replace(page, **fields)


def without(page: wire.PageAnswer, at: int) -> wire.PageAnswer:
    """Leave an event out, with its seal: as if it had never been there."""
    events, seals = list(page.events), list(page.seals)
    del events[at], seals[at : at + 1 or None]
    return changed(page, events=events, seals=seals)


def renumbered(page: wire.PageAnswer, order: list[int]) -> wire.PageAnswer:
    """Give events in another order, or some of them again, at positions without a hole."""
    replace = msgspec.structs.replace
    first = page.events[0].position
    events = [replace(page.events[at], position=first + to) for to, at in enumerate(order)]
    return changed(page, events=events, seals=[page.seals[at] for at in order])


def with_event(page: wire.PageAnswer, **fields: Any) -> wire.PageAnswer:
    first = msgspec.structs.replace(page.events[0], **fields)
    return changed(page, events=[first, *page.events[1:]])


LIES: dict[str, Lie] = {
    "alters data": lambda page: with_event(page, raw_data=b"17"),
    "alters a type": lambda page: with_event(page, type="U"),
    "alters a stream": lambda page: with_event(page, stream="a/2"),
    "alters a time": lambda page: with_event(page, recorded_us=1),
    "alters a number beyond all": lambda page: with_event(page, version=-1),
    "says that content was redacted": lambda page: with_event(page, raw_data=None),
    "drops the first": lambda page: without(page, 0),
    "drops one": lambda page: without(page, 1),
    "drops the last": lambda page: without(page, -1),
    "drops one and closes the hole": lambda page: renumbered(page, [0, 2]),
    "swaps two": lambda page: renumbered(page, [1, 0, 2]),
    "repeats one": lambda page: renumbered(page, [0, 0, 2]),
    "ends earlier": lambda page: changed(
        page, events=page.events[:2], seals=page.seals[:2], through=page.head.cursor
    ),
    "says that the log was trimmed": lambda page: changed(
        without(page, 0), head=msgspec.structs.replace(page.head, first_position=99)
    ),
    "keeps the seals to itself": lambda page: changed(page, seals=[]),
    "alters the hash of the head": lambda page: changed(
        page, head=msgspec.structs.replace(page.head, hash=bytes(32))
    ),
}


async def read_all(store: EventStore) -> list[Any]:
    return data([event async for event in store.read(after=0)])


async def follow(store: EventStore) -> list[Any]:
    return data(await take(store.subscribe_changes(after=0), 3))


async def test_no_event_of_a_page_with_a_lie_is_given() -> None:
    lies: list[Lie] = [lambda page: page]

    def newest(page: wire.PageAnswer) -> wire.PageAnswer:
        return lies[-1](page)

    with (
        serving_log("memory://", with_token=False) as served,
        lying_about(served, newest) as url,
    ):
        async with EventStore.open(url, poll=0.01) as store:
            await store.append("a/1", some(3))
            for look in (read_all, follow):
                for name, lie in LIES.items():
                    lies.append(lie)
                    with pytest.raises(WrongPageError) as wrong:
                        await look(store)
                    assert wrong.value.where == store.url, name
                    assert not wrong.value.transient
                lies.append(lambda page: page)
                assert await look(store) == [0, 1, 2]


async def test_an_older_page_and_one_of_another_log_are_found_out(served: Served) -> None:
    told: list[wire.PageAnswer] = []
    again: list[wire.PageAnswer] = []

    def lie(page: wire.PageAnswer) -> wire.PageAnswer:
        told.append(page)
        return again[0] if again else page

    with lying_about(served, lie) as url:
        async with EventStore.open(url, poll=0.01) as store:
            await store.append("a/1", some(3))
            changes = store.subscribe_changes(after=0)
            await take(changes, 4)
            await store.append("a/1", some(1))
            again.append(told[0])
            with pytest.raises((HistoryDivergedError, WrongPageError)):
                await take(changes, 1)
            with pytest.raises(HistoryDivergedError):
                await read_all(store)
            again[0] = await page_of_another_log()
            with pytest.raises(HistoryDivergedError):
                await read_all(store)
            again.clear()
            assert len(await read_all(store)) == 5


async def page_of_another_log() -> wire.PageAnswer:
    async with EventStore.open("memory://") as store:
        await store.append("a/1", some(9))
        return wire.PageAnswer.of(await store.feed.log.sealed_page(Query()))


@pytest.mark.slow
async def test_what_a_page_that_filters_leaves_out_is_the_servers_word(served: Served) -> None:
    async with EventStore.open(served.url) as store:
        await store.append("a/1", some(3))
    with lying_about(served, lambda page: without(page, 0)) as url:
        async with EventStore.open(url) as store:
            assert data([event async for event in store.read(streams="a/")]) == [1, 2]


@pytest.mark.slow
async def test_a_redaction_keeps_the_chain_of_what_is_read() -> None:
    with serving_log("memory://", with_token=False) as served:
        async with EventStore.open(served.url) as store:
            await store.append("a/1", some(3))
            await read_all(store)
            served.run(served.store.redact(2, "personal"))
            assert (await read_all(store))[:3] == [0, None, 2]
