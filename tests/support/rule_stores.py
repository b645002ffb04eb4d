"""The rule stores that one contract suite runs on, each with a master to edit its rules."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import anyio

from eventstore import EventStore
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import (
    RuleReplica,
    RuleStateLike,
    RuleStore,
    RuleSync,
    SharedRuleStore,
    get_rule_store,
)
from projections.rules.expiry import StateExpiry
from projections.seams.background_loop import close_background_loop
from support.logs import LOG_URLS
from support.master import fill, stands, ttp
from support.redis import shared_redis
from support.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager
    from pathlib import Path

    import pytest


@dataclass
class Desk:
    """A rule store, the log behind it, and the directory that its rules come from."""

    rules: RuleStore | SharedRuleStore | RuleReplica
    log: EventStore
    root: Path
    follows: bool
    url: str
    """The log's, as another process needs it: with the password."""

    async def set_state(self, rule_id: str, state: RuleStateLike, set_by: str) -> None:
        """Set a rule's state where that is possible, and return once the store has it."""
        writer = RuleStore(self.log) if isinstance(self.rules, RuleReplica) else self.rules
        await writer.set_state(rule_id, state, set_by)
        await self._arrived()

    async def edit(self, rule_id: str, name: str = "first") -> None:
        """Save a rule, and return once it is in the log."""
        fill(self.root, {f"{rule_id}.yml": ttp(rule_id, name)})
        await self._sync(rule_id, ttp(rule_id, name))

    async def remove(self, rule_id: str) -> None:
        """Delete a rule's file, and return once that is in the log."""
        (self.root / f"{rule_id}.yml").unlink()
        await self._sync(rule_id, None)

    async def _sync(self, rule_id: str, content: str | None) -> None:
        if not self.follows:
            await RuleSync(self.log, self.root, source="test").sync_once()
        await stands(self.log, rule_id, content)
        await self._arrived()

    async def _arrived(self) -> None:
        """Return once a replica has what the log has: others read the log themselves."""
        if not isinstance(replica := self.rules, RuleReplica):
            return
        head = await self.log.head()

        async def there() -> bool:
            return (await replica.read()).position >= head.position

        await eventually(there)


@asynccontextmanager
async def _plain(url: str, root: Path) -> AsyncIterator[Desk]:
    async with EventStore.open(url) as log, anyio.create_task_group() as tasks:
        tasks.start_soon(StateExpiry(log).run)
        yield Desk(RuleStore(log), log, root, follows=False, url=url)
        tasks.cancel_scope.cancel()


@asynccontextmanager
async def _shared(url: str, root: Path, *, follows: bool) -> AsyncIterator[Desk]:
    try:
        async with EventStore.open(url) as log:
            rules = get_rule_store()
            await rules.get_state("any")  # The first use opens it, and begins to follow.
            yield Desk(rules, log, root, follows, url)
    finally:
        close_background_loop()


@asynccontextmanager
async def _redis(tmp_path: Path, keys: Sequence[str]) -> AsyncIterator[Desk]:
    url, notify = LOG_URLS["postgresql"](tmp_path), shared_redis().url
    async with (
        EventStore.open(url, notify=notify, notify_keys=keys) as log,
        EventStore.open(url, notify=notify, notify_keys=keys) as worker,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(StateExpiry(log).run)
        yield Desk(RuleStore(worker), log, tmp_path / "rules", follows=False, url=url)
        tasks.cancel_scope.cancel()


def _hints(tmp_path: Path, _: pytest.MonkeyPatch) -> AbstractAsyncContextManager[Desk]:
    return _redis(tmp_path, ())


def _signed(tmp_path: Path, _: pytest.MonkeyPatch) -> AbstractAsyncContextManager[Desk]:
    return _redis(tmp_path, ["a key of the tests' own"])


@asynccontextmanager
async def _replica(tmp_path: Path, _: pytest.MonkeyPatch) -> AsyncIterator[Desk]:
    url, live = f"sqlite:///{tmp_path}/events.db", tmp_path / "live"
    async with EventStore.open(url) as log, anyio.create_task_group() as tasks:
        runner = ProjectionRunner(log, DirectoryProjection(live, fsync=False))
        await runner.catch_up()
        tasks.start_soon(runner.run)
        tasks.start_soon(StateExpiry(log).run)
        yield Desk(
            RuleReplica(live, report_to=url), log, tmp_path / "rules", follows=False, url=url
        )
        tasks.cancel_scope.cancel()


def _memory(tmp_path: Path, _: pytest.MonkeyPatch) -> AbstractAsyncContextManager[Desk]:
    return _plain("memory://", tmp_path / "rules")


def _sqlite(tmp_path: Path, _: pytest.MonkeyPatch) -> AbstractAsyncContextManager[Desk]:
    return _plain(f"sqlite:///{tmp_path}/events.db", tmp_path / "rules")


def _postgresql(tmp_path: Path, _: pytest.MonkeyPatch) -> AbstractAsyncContextManager[Desk]:
    return _plain(LOG_URLS["postgresql"](tmp_path), tmp_path / "rules")


def _database(tmp_path: Path, env: pytest.MonkeyPatch) -> AbstractAsyncContextManager[Desk]:
    return _get_database(LOG_URLS["sqlite"](tmp_path), tmp_path, env)


def _get_database(
    url: str, tmp_path: Path, env: pytest.MonkeyPatch
) -> AbstractAsyncContextManager[Desk]:
    env.setenv("EVENTSTORE_RULE_STORE_TYPE", "database")
    env.setenv("EVENTSTORE_URL", url)
    return _shared(url, tmp_path / "rules", follows=False)


def _database_on_postgresql(
    tmp_path: Path, env: pytest.MonkeyPatch
) -> AbstractAsyncContextManager[Desk]:
    return _get_database(LOG_URLS["postgresql"](tmp_path), tmp_path, env)


def _filesystem(tmp_path: Path, env: pytest.MonkeyPatch) -> AbstractAsyncContextManager[Desk]:
    env.setenv("EVENTSTORE_RULE_STORE_TYPE", "filesystem")
    env.setenv("EVENTSTORE_RULES_DIR", str(tmp_path / "rules"))
    return _shared(f"sqlite:///{tmp_path}/rules.eventstore.db", tmp_path / "rules", follows=True)


DESKS: Final[dict[str, Callable[[Path, pytest.MonkeyPatch], AbstractAsyncContextManager[Desk]]]] = {
    "memory": _memory,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "postgresql-redis": _hints,
    "postgresql-redis-signed": _signed,
    "replica": _replica,
    "get-database": _database,
    "get-database-postgresql": _database_on_postgresql,
    "get-filesystem": _filesystem,
}
"""Every rule store there is, by name."""
