"""Rules with a last good copy on this host's disk: a worker starts while its log is away.

The copy is a projected directory of the worker's own, kept by a runner beside it; what is read is
the copy alone. So a start without the log, one with it, and a log that goes away later are the same
for who reads, and the age says which of them it is.
"""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import anyio
import msgspec

from eventstore.errors import EventStoreError, InvalidInputError
from eventstore.log.clock import system_clock
from eventstore.store.event_store import EventStore
from eventstore.system.backoff import Backoff
from eventstore.system.safe_files import read_regular, writing
from eventstore.system.secret_text import conceal
from projections.rules.directory import DirectoryProjection
from projections.rules.replica import RuleReplica
from projections.rules.replica_file import REPLICA_NAME
from projections.runner import ProjectionRunner

if TYPE_CHECKING:
    import os
    from collections.abc import AsyncIterator

    from eventstore.log.clock import Clock
    from projections.rules.rule_types import RuleTypes

log = logging.getLogger(__name__)

CONFIRM_SECONDS: Final = 30.0
"""Seconds between two looks whether the copy is still equal to the log."""

FRESH_SECONDS: Final = 2.0
"""Seconds that a start waits for the log where a copy is there already."""

MAX_SEEN_BYTES: Final = 4_096


class _Seen(msgspec.Struct):
    """When the copy was equal to the log, in microseconds since the epoch, and where that was."""

    at_us: int
    position: int


class KeptRules(RuleReplica):
    """The rules of a copy, and how old it is; made by :func:`keep_rules`.

    It reads as :class:`~projections.rules.RuleReplica` does, and is as safe in threads. States are
    set where the log is.
    """

    log_trouble = ""
    """Why the log cannot be followed now; empty while it is, and before the first try."""

    def __init__(self, path: Path, **options: Any) -> None:
        super().__init__(path / "rules", **options)
        self._seen_file = path / "seen.json"
        there = (self.root / REPLICA_NAME).exists()
        self._seen = _read_seen(self._seen_file) if there else None

    @property
    def age(self) -> float | None:
        """Seconds since the copy was last known to be equal to the log; ``None`` without a copy.

        While the log is followed it is at most about ``confirm``.
        """
        if self._seen is None:
            return None
        return max(0.0, (self._clock() - self._seen.at_us) / 1_000_000)

    @property
    def confirmed_position(self) -> int:
        """Position of the log's end when the copy was last known to be equal to it."""
        return 0 if self._seen is None else self._seen.position

    async def follow(self, store: EventStore, confirm: float, confirmed: anyio.Event) -> None:
        """Keep the copy equal to an open log, until cancelled or an error that does not pass."""
        runner = ProjectionRunner(store, DirectoryProjection(self.root))
        await self._confirm(runner, confirmed)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(runner.run)
            while True:
                await anyio.sleep(confirm)
                if not runner.trouble:
                    await self._check(store)

    async def _confirm(self, runner: ProjectionRunner, confirmed: anyio.Event) -> None:
        now = self._clock()
        cursor = await runner.catch_up()
        await self._note(_Seen(now, cursor.position))
        self.log_trouble = ""
        confirmed.set()

    async def _check(self, store: EventStore) -> None:
        """Note that the copy has all that the log has now, unless it is behind at this moment."""
        now, head = self._clock(), await store.head()
        if (await self.read()).position >= head.position:
            await self._note(_Seen(now, head.position))

    async def _note(self, seen: _Seen) -> None:
        self._seen = seen
        await anyio.to_thread.run_sync(_write_seen, self._seen_file, seen)


@asynccontextmanager
async def keep_rules(
    url: str,
    path: str | os.PathLike[str],
    *,
    confirm: float = CONFIRM_SECONDS,
    clock: Clock = system_clock,
    types: RuleTypes | None = None,
    **options: Any,
) -> AsyncIterator[KeptRules]:
    """Give the rules of the log at ``url``, with a copy of them in the directory ``path``.

    Where a copy is there, this returns with it after at most 2 s, whether the log can be reached or
    not; without one it waits until the first is whole. The log is tried again as long as the block
    runs, after a random pause that grows to 5 s. ``url`` is that of a server or of a database,
    ``options`` are those of :meth:`EventStore.open <eventstore.EventStore.open>`. ``confirm`` is in
    seconds.

    Without a copy it raises what opening and reading the log raise and what does not pass by
    itself, such as AccessDeniedError; with one :attr:`KeptRules.log_trouble` says it.
    """
    if not confirm > 0:
        raise InvalidInputError(f"confirm={confirm!r:.40}", "give seconds above 0")
    path = Path(path)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    kept = KeptRules(path, clock=clock, types=types, report_to=url)
    follower = _Follower(kept, confirm, lambda: EventStore.open(url, create=False, **options))
    failed: Exception | None = None
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(follower.run)
        with anyio.move_on_after(FRESH_SECONDS if kept.age is not None else None):
            await follower.started.wait()
        failed = follower.error
        if failed is None:
            try:
                yield kept
            except Exception as error:
                failed = error  # Raised as it is, and not in a group of the tasks here.
        tasks.cancel_scope.cancel()
    if failed is not None:
        raise failed


class _Follower:
    """Opens the log again and again, and keeps the copy equal to it."""

    def __init__(self, kept: KeptRules, confirm: float, open_log: Any) -> None:
        self._kept = kept
        self._confirm = confirm
        self._open = open_log
        self.started = anyio.Event()
        """Set once the copy was equal to the log, or there is an error without a copy."""
        self.error: EventStoreError | None = None

    async def run(self) -> None:
        """Follow until cancelled."""
        backoff = Backoff()
        while True:
            seen = self._kept.confirmed_position
            try:
                async with self._open() as store:
                    await self._kept.follow(store, self._confirm, self.started)
            except* EventStoreError as errors:
                self._report(_first(errors))
            if self.error is not None:
                return
            if self._kept.confirmed_position > seen:
                backoff.reset()
            await anyio.sleep(backoff.next())

    def _report(self, error: EventStoreError) -> None:
        found = conceal(str(error))
        if found != self._kept.log_trouble:
            is_there = "missing" if self._kept.age is None else "kept"
            log.warning("%s; the copy of the rules is %s", found, is_there)
        self._kept.log_trouble = found
        if self._kept.age is None and not getattr(error, "transient", False):
            self.error = error
            self.started.set()


def _first(errors: BaseExceptionGroup[EventStoreError]) -> EventStoreError:
    found: Any = errors
    while isinstance(found, BaseExceptionGroup):
        found = found.exceptions[0]
    assert isinstance(found, EventStoreError)  # noqa: S101 - the group was caught by this type
    return found


def _read_seen(file: Path) -> _Seen | None:
    try:
        return msgspec.json.decode(read_regular(file, MAX_SEEN_BYTES), type=_Seen)
    except (OSError, msgspec.MsgspecError):
        return None


def _write_seen(file: Path, seen: _Seen) -> None:
    with writing(file) as opened:
        opened.write(msgspec.json.encode(seen))
