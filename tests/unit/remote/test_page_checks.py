"""Any byte of a page that is altered is an error, or changes nothing that a reader gets."""

from __future__ import annotations

import msgspec
import pytest
from support.logs import some

from eventstore import EventStore, EventStoreError
from eventstore.log.operations import Query
from eventstore.remote import wire
from eventstore.storage.http._page_checks import check_page

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    """Run on one event loop: none takes part in what is checked."""
    return "asyncio"


async def test_no_altered_byte_of_a_page_reaches_a_reader() -> None:
    async with EventStore.open("memory://") as store:
        await store.append("a/1", some(2))
        await store.append("b/1", some(1))
        first = await store.feed.log.sealed_page(Query(after=0, limit=1))
        start = first.page.through
        query = Query(after=start.position, expect=start)
        body = wire.encode(wire.PageAnswer.of(await store.feed.log.sealed_page(query)))
    true = wire.decode(body, wire.PageAnswer, "here").sealed()
    check_page("here", query, true, first.page.head)
    refused = 0
    for at in range(len(body)):
        for bit in (1, 128):
            altered = bytearray(body)
            altered[at] ^= bit
            try:
                told = wire.decode(bytes(altered), wire.PageAnswer, "here").sealed()
                check_page("here", query, told, first.page.head)
            except EventStoreError:
                refused += 1
            else:
                given = msgspec.structs.replace(told.page, head=true.page.head)
                assert (given.events, given.through) == (true.page.events, true.page.through), at
    assert refused > len(body)
