"""What the SQL backends have in common: everything but how they connect and lock."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Final, TypeVar

from eventstore.errors import EventStoreError, NoLogError
from eventstore.log.clock import ClockWatch, checked
from eventstore.log.inline_view import InlineView
from eventstore.storage import (
    _inline_steps,
    _writing,
    incarnation,
    migrations,
    reading,
    reports,
)
from eventstore.storage._builds_by_hand import BuildsByHand
from eventstore.storage._inline import REST_EVENTS, ViewBehindError
from eventstore.storage._log_reads import LogReads
from eventstore.storage._looks import Looks
from eventstore.storage._step_size import STEP_SECONDS
from eventstore.storage._stream_cache import StreamCache
from eventstore.storage.user_transaction import append_in

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from eventstore.log.clock import Clock
    from eventstore.log.inline_view import Inline
    from eventstore.log.operations import (
        Append,
        Batches,
        CommitBatch,
        Head,
        Operation,
        Outcome,
    )
    from eventstore.storage._view_builds import HiddenTables
    from eventstore.storage.driver import Driver
    from eventstore.storage.protocols import LockHolder, NamedLock
    from eventstore.storage.user_transaction import AppendIn, UserTransaction

T = TypeVar("T")

LIMITS: Final = (REST_EVENTS, 10 * REST_EVENTS)
"""How many events an append's transaction applies to projections that are behind: in its first
and in its second attempt. A third one has no limit, so that other writers cannot starve it."""


class SqlBackend(LogReads, BuildsByHand, Looks, ABC):
    """A log in a database; :class:`eventstore.storage.protocols.Backend` says what is promised."""

    dialect: ClassVar[str]
    _foreign: ClassVar[str] = ""
    """What a database is that has none of the log's tables."""
    step_seconds: float = STEP_SECONDS
    """How long a step of bringing a projection up should take."""
    url: str
    path: Path | None

    def __init__(self, clock: Clock, inline: Inline) -> None:
        self._clock = checked(clock)
        self._watch = ClockWatch()
        self._inline = tuple(
            one if isinstance(one, InlineView) else InlineView(one) for one in inline
        )
        limited = [tuple(view.limited(most) for view in self._inline) for most in LIMITS]
        self._limits = (*limited, self._inline)
        self._writing = threading.Lock()
        self._streams = StreamCache()
        self._known = incarnation.KnownLog()

    @abstractmethod
    def open(self, *, create: bool = True) -> None:
        """Connect, and call :meth:`_prepare`."""

    @abstractmethod
    def close(self) -> None:
        """Release every connection."""

    def watch_waits(self, check: Callable[[], None]) -> None:
        """Call ``check`` while a write waits for its turn; what it raises ends the wait.

        Does nothing where a server decides whose turn it is: it limits the wait itself.
        """

    @abstractmethod
    def user_transaction(self, *, batch: bool) -> UserTransaction:
        """Return a connection whose own statements and an append share transactions.

        ``batch`` says whether its appends tell what they appended.
        """

    def _append_in(self, *, batch: bool) -> AppendIn:
        """Return what appends within a transaction of :meth:`user_transaction`."""
        return partial(append_in, write=self._write_within, clock=self._clock, batch=batch)

    def _write_within(
        self, driver: Driver, append: Append, cache: StreamCache, now_us: int, batches: Batches
    ) -> list[Outcome]:
        """Carry out an append in the transaction that ``driver`` is in, which is a caller's."""
        return _writing.write_group(
            driver, [append], self._inline, now_us, batches, cache, self._watch, self._known
        )

    @abstractmethod
    def describe(self) -> dict[str, str | int]:
        """Return facts for ``status``."""

    @property
    @abstractmethod
    def _where(self) -> str:
        """Name the database in messages, without a password."""

    @abstractmethod
    def _write(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes: commit, or leave nothing."""

    def write(
        self, group: Sequence[Operation], tell: Callable[[CommitBatch], None] | None = None
    ) -> list[Outcome]:
        """Carry out a group in one durable transaction."""
        batches: Batches = [] if tell is not None else None
        with self._writing:
            outcomes = self._write_group(group, batches)
        if tell is not None and batches:
            tell(batches[-1])
        return outcomes

    def _write_group(self, group: Sequence[Operation], batches: Batches) -> list[Outcome]:
        """Carry out a group; make anew what was removed of its projections, and repeat it then."""
        try:
            return self._write_in_steps(group, batches)
        except EventStoreError as error:
            _inline_steps.mend(self, self._inline, error)
        return self._write_in_steps(group, batches)

    def _write_in_steps(self, group: Sequence[Operation], batches: Batches) -> list[Outcome]:
        """Carry out a group; first bring up projections that are far behind, beside others."""
        for inline in self._limits:
            try:
                return self._write(
                    lambda driver, inline=inline: _writing.write_group(  # type: ignore[misc]
                        driver,
                        group,
                        inline,
                        self._clock(),
                        batches,
                        self._streams,
                        self._watch,
                        self._known,
                    )
                )
            except ViewBehindError:
                _inline_steps.bring_up(self, self._inline)
        raise AssertionError("without a limit no projection is too far behind")

    @property
    def skipped(self) -> dict[str, int]:
        """Inline projections that appends go on without, with the newer version of their tables."""
        return {view.name: view.newer for view in self._inline if view.newer is not None}

    def step(self, function: Callable[[Driver], T]) -> T:
        """Call ``function`` in a transaction that writes."""
        return self._write(function)

    def give_way(self, seconds: float) -> None:
        """Do nothing: on a server no writer waits for a step."""

    def hidden(self) -> AbstractContextManager[HiddenTables] | None:
        """Give a session for temporary tables; ``None`` where there is one session only."""
        return None

    def identify(self) -> tuple[Head, str]:
        """Return the head and the incarnation; refuse from then on to write to another log."""

        def read(driver: Driver) -> tuple[Head, str]:
            head = reading.read_head(driver)
            return head, self._known.note(driver, self._where, head.log_id)

        return self._read(read)

    def named_lock(self, name: str) -> NamedLock | None:  # noqa: ARG002
        """Return ``None``: all users of the log are on one host, and lock files there."""
        return None

    def named_locks(self) -> list[LockHolder]:
        """Return none."""
        return []

    def _prepare(self, *, current: bool = False) -> None:
        """Bring the schema, unless it is ``current``, then the inline projections, up to date."""
        if not current:
            self._write(self._migrate)
        self._prepare_inline()

    def _is_current(self, driver: Driver) -> bool:
        """Return whether the schema needs no migration; raise NoLogError where there is none."""
        # With one of them missing it is a damaged log, which verification describes.
        if not driver.has_table("head") and not driver.has_table("migration"):
            raise NoLogError(self._where, self._foreign)
        return migrations.is_current(driver, self.dialect, self._where)

    def _migrate(self, driver: Driver) -> None:
        driver.lock_schema()
        migrations.apply_missing(driver, self.dialect, self._where, self._clock())
        if driver.may_make_tables():  # A role without that right appends to an older log, too.
            reports.make_table(driver)

    def _prepare_inline(self) -> None:
        """Make the tables of inline projections, and bring them to the head."""
        if not self._inline:
            return
        up = self._write(partial(_inline_steps.set_up, self._inline, self._limits[0]))
        for views in (*self._limits, self._inline):
            if not up:
                _inline_steps.bring_up(self, self._inline)
                up = self._write(partial(_inline_steps.bring_to_head, views=views))
