"""Pages: they neither skip nor repeat while entries are inserted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.journals import START, entry, fill, ids

from projections.journal.paging import EXPIRES_US

if TYPE_CHECKING:
    from eventstore.testing import FakeClock
    from projections.journal import Journal

pytestmark = pytest.mark.anyio


def named(*numbers: int) -> list[str]:
    return [f"e{number}" for number in numbers]


async def insert_around(journal: Journal, number: int) -> None:
    """Insert entries that are newer, older, and between those that are there."""
    for part, ts in enumerate([START + timedelta(days=1), START - timedelta(days=1), START]):
        changes = {"entry_id": f"new{number}-{part}", "ts": ts}
        await journal.insert_entry(**entry(number, **changes))


@pytest.mark.promise("journal")
@pytest.mark.parametrize("filters", [None, {"agent": "ana"}, {"emoji": "✅"}, {"meta.kind": "x"}])
async def test_pages_hold_together_while_entries_are_inserted(
    journal: Journal, filters: Any
) -> None:
    await fill(journal, 10, meta={"kind": "x"})
    seen: list[str] = []
    for page in range(1, 6):
        entries, total = await journal.fetch_recent_entries_paginated(
            project="p", page=page, page_size=3, filters=filters
        )
        assert total == 10
        seen += ids(entries)
        await insert_around(journal, page)
        if len(entries) < 3:
            break
    assert seen == named(9, 8, 7, 6, 5, 4, 3, 2, 1, 0)


@pytest.mark.parametrize(
    "query",
    [
        {"message": "MESSAGE"},
        {"message": "^message [0-9]+$", "message_mode": "regex"},
        {"meta_filters": {"kind": "x", "y": 1}},
        {"agents": ["ana", "bo"], "start": "2026-02-01", "end": "2026-04-01"},
    ],
)
async def test_offsets_hold_together_while_entries_are_inserted(
    journal: Journal, query: Any
) -> None:
    await fill(journal, 7, meta={"kind": "x", "y": 1})
    seen: list[str] = []
    for offset in range(0, 8, 2):
        seen += ids(await journal.query_entries(project="p", limit=2, offset=offset, **query))
        await insert_around(journal, offset)
    assert seen == named(6, 5, 4, 3, 2, 1, 0)


async def test_pages_part_entries_of_one_moment(journal: Journal) -> None:
    await fill(journal, 7, ts=START)
    seen: list[str] = []
    for offset in (0, 2, 4, 6):
        seen += ids(await journal.fetch_recent_entries(project="p", limit=2, offset=offset))
        await journal.insert_entry(**entry(10 + offset, ts=START))
    assert seen == named(6, 5, 4, 3, 2, 1, 0)


async def test_pages_may_be_read_in_any_order(journal: Journal) -> None:
    await fill(journal, 9)
    pages: dict[int, list[str]] = {}
    for page in (1, 3, 2):
        entries, _ = await journal.fetch_recent_entries_paginated(
            project="p", page=page, page_size=3
        )
        pages[page] = ids(entries)
        await insert_around(journal, page)
    assert pages == {1: named(8, 7, 6), 2: named(5, 4, 3), 3: named(2, 1, 0)}


async def test_the_first_page_and_a_page_read_again_show_what_is_new(journal: Journal) -> None:
    await fill(journal, 6)

    async def page(number: int) -> tuple[list[str], int]:
        entries, total = await journal.fetch_recent_entries_paginated(
            project="p", page=number, page_size=2
        )
        return ids(entries), total

    assert await page(1) == (named(5, 4), 6)
    await journal.insert_entry(**entry(6))
    assert await page(1) == (named(6, 5), 7)
    assert await page(2) == (named(4, 3), 7)
    await journal.insert_entry(**entry(7))
    assert await page(2) == (named(5, 4), 8)


async def test_an_offset_that_is_no_page_sees_everything(journal: Journal) -> None:
    await fill(journal, 3)
    assert len(await journal.fetch_recent_entries(project="p", limit=10)) == 3
    await journal.insert_entry(**entry(3))
    found = await journal.fetch_recent_entries(project="p", limit=10, offset=1)
    assert ids(found) == named(2, 1, 0)
    assert await journal.fetch_recent_entries(project="p", limit=0) == []
    assert await journal.fetch_recent_entries(project="p", limit=5, offset=99) == []


async def test_each_task_has_pages_of_its_own(journal: Journal) -> None:
    await fill(journal, 6)
    turn = anyio.Condition()
    done: dict[str, list[str]] = {"a": [], "b": []}
    steps: list[str] = []

    async def read(name: str) -> None:
        for page in (1, 2, 3):
            async with turn:
                # a1, then something new, b1, a2, b2, a3, b3.
                while len(steps) % 2 != "ab".index(name):
                    await turn.wait()
                entries, _ = await journal.fetch_recent_entries_paginated(
                    project="p", page=page, page_size=2
                )
                done[name] += ids(entries)
                await journal.insert_entry(**entry(10 + len(steps)))
                steps.append(name)
                turn.notify_all()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(read, "a")
        tasks.start_soon(read, "b")
    assert done == {"a": named(5, 4, 3, 2, 1, 0), "b": named(10, 5, 4, 3, 2, 1)}


async def test_a_task_without_pages_goes_on_with_the_latest(journal: Journal) -> None:
    await fill(journal, 4)
    seen: list[str] = []

    async def request(page: int) -> None:
        entries, _ = await journal.fetch_recent_entries_paginated(
            project="p", page=page, page_size=2
        )
        seen.extend(ids(entries))

    for page in (1, 2):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(request, page)
        await journal.insert_entry(**entry(10 + page))
    assert seen == named(3, 2, 1, 0)


async def test_the_past_can_be_asked_for(journal: Journal) -> None:
    await fill(journal, 4)
    then = await journal.position()
    await insert_around(journal, 9)
    for size in (1, 3):
        seen: list[str] = []
        for page in range(1, 6):
            entries, total = await journal.query_entries_paginated(
                project="p", page=page, page_size=size, as_of=then, message="m"
            )
            assert total == 4
            seen += ids(entries)
        assert seen == named(3, 2, 1, 0)
    assert ids(await journal.fetch_recent_entries(project="p", limit=9, as_of=3)) == named(1, 0)


async def test_pages_of_a_project_that_was_made_again_are_its_own(journal: Journal) -> None:
    await fill(journal, 4)
    await journal.fetch_recent_entries(project="p", limit=2)
    await journal.delete_project("p")
    await fill(journal, 3)
    found = await journal.fetch_recent_entries(project="p", limit=2, offset=2)
    assert ids(found) == named(0)


async def test_pages_are_forgotten_after_a_while(journal: Journal, clock: FakeClock) -> None:
    await fill(journal, 4)
    await journal.fetch_recent_entries(project="p", limit=2)
    await journal.insert_entry(**entry(4))
    clock.now_us += EXPIRES_US
    found = await journal.fetch_recent_entries(project="p", limit=2, offset=2)
    assert ids(found) == named(2, 1)
