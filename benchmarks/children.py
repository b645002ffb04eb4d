"""The processes that are measured: a master, a follower, and a bare watcher.

``python -m benchmarks.children ROLE ARGUMENT …``: a role is a function below.
Each says ``ready`` once it is, then a JSON list per change: the monotonic clock in
nanoseconds, which all processes of a Linux machine share, and what came. Each ends with its
standard input.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import psycopg
import redis
from watchfiles import watch

from benchmarks.serving_child import server
from eventstore import END, EventStore
from eventstore.system import tree_watch
from eventstore.system.directory_watch import CHECK_MS, STEP_MS
from projections.rules import CompiledRule, RuleStore, RuleSync

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from eventstore import Subscription
    from eventstore.log.operations import Page, Query


def say(*words: Any) -> None:
    """Write one line to the benchmark."""
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


async def master(url: str, folder: str) -> None:
    """Turn a directory of ``ttp`` rules into events until the end."""
    async with EventStore.open(url) as store:
        sync = RuleSync(store, folder, format="ttp")
        await sync.sync_once()
        say("ready")
        await sync.run()


async def follower(url: str, notify: str = "auto", *keys: str) -> None:
    """Report the position, and the file's SHA-256 if there is one, of every new event."""
    async with (
        EventStore.open(url, notify=notify, notify_keys=keys) as store,
        store.subscribe_changes(after=END) as changes,
    ):
        say("ready")
        async for event in changes:
            now = time.monotonic_ns()
            say(now, event.data.get("sha256", event.position))


async def crowd(url: str, count: str, notify: str = "auto", *keys: str) -> None:
    """Follow with many subscriptions; report when the last of them has an event named Mark.

    And how many pages have been read from the log until then.
    """
    async with EventStore.open(url, notify=notify, notify_keys=keys) as store:
        marked: Counter[int] = Counter()
        read, pages = store._log._read_page, 0  # noqa: SLF001 - what it reads is the question

        def counting(query: Query) -> Page:
            nonlocal pages
            pages += 1
            return read(query)

        store._log._read_page = counting  # noqa: SLF001

        async def follow(changes: Subscription) -> None:
            async for event in changes:
                if event.type == "Mark":
                    marked[event.position] += 1
                    if marked[event.position] == int(count):
                        say(time.monotonic_ns(), event.position, pages)

        async with anyio.create_task_group() as tasks:
            for _ in range(int(count)):
                changes = store.subscribe_changes(after=END)
                await changes.__aenter__()
                tasks.start_soon(follow, changes)
            say("ready")


def watched(folder: str) -> None:
    """Report the content of the one file in a directory, by plain watchfiles at our step."""
    changes = watch(folder, watch_filter=None, step=STEP_MS, debounce=4 * STEP_MS, rust_timeout=0)
    say("ready")
    for _ in changes:
        say(time.monotonic_ns(), (Path(folder) / "position").read_text())


def listener(url: str) -> None:
    """Report what plain psycopg hears by LISTEN."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("LISTEN floor")
        say("ready")
        for notice in connection.notifies():
            say(time.monotonic_ns(), notice.payload)


def uma_follower(url: str) -> None:
    """Report the position of every new event of a UmaDB, by its subscription."""
    import umadb  # noqa: PLC0415 - it is optional

    client = umadb.Client(url)
    changes = client.subscribe(after=client.head())
    say("ready")
    for event in changes:
        say(time.monotonic_ns(), event.position)


def subscriber(url: str) -> None:
    """Report what plain redis-py hears on a channel."""
    client = redis.Redis.from_url(url)
    subscription: Any = client.pubsub(ignore_subscribe_messages=True)  # type: ignore[no-untyped-call]
    subscription.subscribe("floor")
    subscription.get_message(timeout=1)
    say("ready")
    while True:
        message = subscription.get_message(timeout=1)
        if message is not None:
            say(time.monotonic_ns(), message["data"].decode())


async def engine(url: str) -> None:
    """Keep a table of rules; after each swap, report the last change's description or reason."""
    async with EventStore.open(url) as store:
        rules = RuleStore(store)
        table = {rule.rule_id: rule for rule in await rules.load_compiled()}
        commits = rules.subscribe_commits()
        say("ready")
        async for changes in commits:
            table = dict(table)
            for _, rule_id, value in changes:
                if isinstance(value, CompiledRule):
                    table[rule_id] = value
                elif rule_id in table:
                    table[rule_id] = table[rule_id]._replace(state=value)
            now = time.monotonic_ns()
            say(now, value.description if isinstance(value, CompiledRule) else value.reason)


def watcher(folder: str) -> None:
    """Report the SHA-256 of each file that plain watchfiles names, at the store's step."""
    found = tree_watch.changes(
        Path(folder), step_ms=STEP_MS, check_ms=CHECK_MS, stop=threading.Event(), recursive=True
    )
    say("ready")
    for batch in found:
        for path in {path for _, path in batch}:
            try:
                digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
            except OSError:
                continue
            say(time.monotonic_ns(), digest)


def _end_with_stdin() -> None:
    sys.stdin.read()
    os._exit(0)


ASYNC_ROLES: Final[dict[str, Callable[..., Awaitable[None]]]] = {
    "master": master,
    "follower": follower,
    "engine": engine,
    "crowd": crowd,
    "server": server,
}
ROLES: Final[dict[str, Callable[..., None]]] = {
    "watcher": watcher,
    "watched": watched,
    "listener": listener,
    "subscriber": subscriber,
    "uma_follower": uma_follower,
}


def main(role: str, *arguments: str) -> None:
    """Play one role."""
    threading.Thread(target=_end_with_stdin, daemon=True).start()
    if role in ASYNC_ROLES:
        anyio.run(ASYNC_ROLES[role], *arguments)
    else:
        ROLES[role](*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
