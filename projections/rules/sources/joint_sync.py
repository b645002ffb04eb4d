"""One look at one directory, or at several together, and the commit of what was found."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import anyio

from eventstore.errors import ConflictError
from projections.rules.sources._hand_over import hand_over, recorded_claims
from projections.rules.sources._writes import commits_of, writes_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventstore import EventStore
    from projections.rules.sources._directory_look import DirectoryLook
    from projections.rules.sources.sync_report import SyncReport

ATTEMPTS: Final = 5
"""How often a single look is repeated when another master appended meanwhile."""


async def sync_directories(
    store: EventStore,
    looks: Sequence[DirectoryLook],
    *,
    confirm: Callable[[], Awaitable[None]] | None = None,
) -> list[SyncReport]:
    """Look until every directory is at rest, and append what was found as one commit.

    A rule whose file moves from one of the directories to another is defined there and removed
    nowhere. ``confirm`` is called before the commit of a master that follows; without it the
    look is a single one, which also waits for git where nothing has changed, and raises
    ConflictError after ATTEMPTS conflicts.
    """
    single = confirm is None
    for look in looks:
        look.begin(single=single)
    attempt = 1
    while True:
        if not await _look_until_rest(store, looks, single=single):
            return [look.report(None) for look in looks]
        if confirm is not None:
            await confirm()
        try:
            return await _commit(store, looks)
        except ConflictError as conflict:
            # Another master appended since the refresh: look again, at both.
            if single and attempt == ATTEMPTS:
                raise
            attempt += 1
            for look in looks:
                await look.standing.learn(store, conflict)


async def _look_until_rest(
    store: EventStore, looks: Sequence[DirectoryLook], *, single: bool
) -> bool:
    """Look until all directories are at rest; return whether there is anything to append."""
    while True:
        for look in looks:
            await look.take(store)
        if all(look.is_done(single=single) for look in looks):
            return False
        wait = max(look.seconds_to_rest() for look in looks)
        if wait <= 0:
            break
        if len(looks) == 1:
            await looks[0].pause(wait)
        else:
            await anyio.sleep(wait)
    for look in looks:
        look.reduce_to_rest()
        await look.read_commits()
    return True


async def _commit(store: EventStore, looks: Sequence[DirectoryLook]) -> list[SyncReport]:
    parts = [(look.verdict, look.standing, look.metadata_of) for look in looks]
    hand_over(parts)
    claims = await recorded_claims(store, parts)
    for look in looks:
        look.refuse_to_remove_all()
    position = None
    for writes in commits_of(writes_of(parts, claims)):
        position = (await store.append_many(writes)).position
    for look in looks:
        await look.name_removed()
    return [look.report(position) for look in looks]
