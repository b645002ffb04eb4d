"""Every use of what belongs to one event loop: each public coroutine and each step, by its name."""

from __future__ import annotations

import hashlib
import inspect
from contextlib import aclosing, asynccontextmanager, contextmanager
from functools import partial
from inspect import Parameter
from typing import TYPE_CHECKING, Any, Final

import anyio

from eventstore import EventStore, NewEvent, StreamWrite, Subscription
from projections import ProjectionRunner
from projections.journal import Journal
from projections.journal.tables import JournalTables
from projections.registry import Registry, RegistryTables
from projections.rules import RuleState, RuleStore
from support.logs import some
from support.totals import Totals
from support.waiting import DEADLINE

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    Use = Callable[[], Awaitable[Any]]

ARGUMENTS: Final[dict[str, Any]] = {
    "action": "a",
    "agent": "a",
    "agent_id": "a",
    "agent_name": "a",
    "before": 1,
    "by": "me",
    "bot_id": "b",
    "config": {},
    "consumer": "w",
    "copy": "/nowhere/copy",
    "doc": "d",
    "emoji": None,
    "entry_id": "e",
    "event": NewEvent("T", 0),
    "events": some(1),
    "expected_version": None,
    "docs_json": {},
    "file": "/nowhere/file",
    "file_path": "f",
    "function": lambda *_: None,
    "limit": 1,
    "loaded": [],
    "message": "m",
    "meta": {},
    "metadata": {},
    "name": "p",
    "overall_grade": None,
    "performance_level": None,
    "position": 1,
    "progress_log_path": "l",
    "project": "p",
    "project_name": "p",
    "projection": Totals(),
    "raw_line": "r",
    "reason": "because",
    "repo_root": "r",
    "report": "{}",
    "rule_id": "R1",
    "section": None,
    "session_id": "s",
    "set_by": "me",
    "sha256": hashlib.sha256(b"r").hexdigest(),
    "sha_after": None,
    "sha_before": None,
    "stage": None,
    "state": RuleState("disabled"),
    "stream": "a/1",
    "target": "R1",
    "timestamp": "2026-01-01T00:00:00+00:00",
    "to": 0,
    "tool_name": "t",
    "ts": "2026-01-01T00:00:00+00:00",
    "updated_by": None,
    "writes": [StreamWrite("a/1", some(1))],
}
"""A value for each argument without a default. A new one adds a line."""

ELSEWHERE: Final = {
    "EventStore.restore",
    "RuleStore.change_of",
    "Registry.close",
    "Journal.close",
}
"""What need not use the open store: ``change_of`` of an event that means nothing, and the closing
of a seam that was given its store."""


def uses(thing: Any) -> Iterator[tuple[str, Use]]:
    """Yield each public coroutine function of an object, with arguments that it accepts."""
    for name in dir(thing):
        method = getattr(thing, name, None) if not name.startswith("_") else None
        full = f"{type(thing).__name__}.{name}"
        if full in ELSEWHERE or not inspect.iscoroutinefunction(method):
            continue
        wanted = inspect.signature(method).parameters
        values = {
            name: ARGUMENTS[name] for name, one in wanted.items() if one.default is Parameter.empty
        }
        yield full, partial(method, **values)


class Everything:
    """An open store with all that is used in its event loop."""

    def __init__(self, store: EventStore, registry: Registry, journal: Journal) -> None:
        self.store = store
        self.registry = registry
        self.journal = journal
        self.rules = RuleStore(store, consumer="rules")
        self.runner = ProjectionRunner(store, Totals().at("sqlite:///unused.db"))
        self.subscription: Subscription = store.subscribe_changes(consumer="w")
        self.reader = store.read()

    def uses(self) -> Iterator[tuple[str, Use]]:
        """Yield every use by its name; what ends things comes last."""
        found = [
            use
            for thing in (self.rules, self.runner, self.registry, self.journal, self.store)
            for use in uses(thing)
        ]
        yield from self.steps()
        yield from sorted(found, key=lambda use: use[0].endswith("close"))

    def steps(self) -> Iterator[tuple[str, Use]]:
        """Yield the steps of iterators, those that have begun and new ones."""
        store = self.store
        yield "begun subscription", lambda: anext(self.subscription)
        yield "begun reader", lambda: anext(self.reader)
        yield "Subscription.__aenter__", store.subscribe_changes().__aenter__
        yield "Subscription.__anext__", lambda: anext(store.subscribe_changes())
        yield "Subscription.ack", self.subscription.ack
        yield "Subscription.reject", lambda: self.subscription.reject(self.event, "no")
        yield "Subscription.aclose", self.subscription.aclose
        yield "Commits", lambda: anext(store.subscribe_changes().commits())
        yield "EventReader", lambda: anext(store.read())
        yield "read_stream", lambda: anext(store.read_stream("a/1"))
        yield "streams", lambda: anext(store.streams())
        yield "RuleChanges", lambda: anext(self.rules.subscribe_changes())
        yield "RuleCommits", lambda: anext(self.rules.subscribe_commits())
        yield "Registry changes", lambda: anext(self.registry.subscribe_changes())
        yield "Journal changes", lambda: anext(self.journal.subscribe_changes())
        yield "ProjectionRunner.held", lambda: self.runner.held().__aenter__()
        yield "EventStore.__aenter__", store.__aenter__
        yield "transact_later", self._transact_later

    async def _transact_later(self) -> None:
        self.store.transact_later(lambda _: None)

    async def begin(self) -> None:
        """Take a first event from the iterators, so that more wait in memory."""
        await self.store.append("a/1", some(5))
        self.event = await anext(self.subscription)
        await anext(self.reader)


async def open_everything(url: str) -> Everything:
    """Open a store with all that is used in its event loop; the caller closes it."""
    inline = [RegistryTables(), JournalTables()]
    store = await EventStore.open(url, inline=inline, notify="none").__aenter__()
    every = Everything(store, Registry(store), Journal(store))
    await every.begin()
    return every


@asynccontextmanager
async def everything(url: str) -> AsyncIterator[Everything]:
    """Open a store with all that is used in its event loop."""
    every = await open_everything(url)
    async with aclosing(every.store):
        yield every


async def not_refused(
    found: list[tuple[str, Use]], error: type[BaseException], give_up: float = DEADLINE
) -> list[str]:
    """Try each use in this event loop; return those that do not raise ``error`` at once."""
    left: list[str] = []
    for name, use in found:
        with refused(name, error, left), anyio.fail_after(give_up):
            await use()
    return left


@contextmanager
def refused(name: str, error: type[BaseException], left: list[str]) -> Iterator[None]:
    """Add a use to ``left`` unless it raises ``error``."""
    try:
        yield
    except error:
        return
    except BaseException as other:
        left.append(f"{name}: {other!r}")
    else:
        left.append(f"{name}: was not refused")
