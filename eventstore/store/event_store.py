"""The store: append, read and follow one event log."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from eventstore.changes.feed import ChangeFeed
from eventstore.changes.subscription import Subscription
from eventstore.config import keys_in_force, write_wait_in_force
from eventstore.limits import QUERY_SECONDS
from eventstore.log.clock import system_clock
from eventstore.log.events import ANY, OLDEST, StreamWrite
from eventstore.log.inline_view import InlineView, make_views
from eventstore.log.operations import Transact
from eventstore.log.projection_checks import check_inline
from eventstore.log.upcast_reads import UpcastReads
from eventstore.log.validation import check_append, check_filter, check_seconds
from eventstore.notify.notifiers import make_notifier
from eventstore.storage.backends import identifier_bytes, make_backend
from eventstore.store._consumers import Consumers
from eventstore.store._lifecycle import Lifecycle, process_name
from eventstore.store._log_access import LogAccess
from eventstore.store._maintained import Maintained
from eventstore.store._maintenance import Maintenance
from eventstore.store._queries import Queries
from eventstore.store._reader import EventReader, read_range, read_stream, read_streams
from eventstore.store._view_refresh import ViewRefresh
from eventstore.store._writer import Writer
from eventstore.store.status import SEARCHED_CONSUMERS, SHOWN_CONSUMERS, describe_store
from eventstore.store.thread_calls import ThreadCalls
from eventstore.system.contexts import AsyncContext
from eventstore.system.event_loop import LoopWaiting
from eventstore.system.owners import warn_unclosed

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence
    from concurrent.futures import Future
    from typing import Self

    from eventstore.log.clock import Clock
    from eventstore.log.events import Appended, Cursor, Expected, NewEvent, Special
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.inline_view import OnNewerView
    from eventstore.log.operations import Head, StreamState
    from eventstore.log.upcasting import Upcasters
    from eventstore.system.waiting import Waiting

T = TypeVar("T")

POLL_SECONDS: Final = 1.0
"""Default poll interval."""


class EventStore(AsyncContext, Consumers, Maintained):
    """One event log, and everything that one program does with it.

    Open it with ``async with EventStore.open(url) as store:``. It runs on asyncio and on
    trio. It is for any number of tasks of the event loop that opened it; making it or an iterator
    may happen anywhere. One that is never closed is closed, with a ResourceWarning, when collected.

    Every method and step raises StorageError where the database fails, StoreClosedError where the
    store is not open, WrongLoopError in another event loop, ForkedError in a forked child.
    """

    def __init__(
        self,
        url: str,
        notify: str,
        inline: Sequence[InlineProjection],
        clock: Clock,
        poll: float,
        upcasters: Upcasters | None = None,
        notify_keys: Sequence[str] | None = None,
        write_wait: float | None = None,
        on_newer_view: OnNewerView = "skip",
        *,
        create: bool = True,
        how: Waiting | None = None,
    ) -> None:
        check_seconds("poll", poll)
        write_wait = write_wait_in_force() if write_wait is None else write_wait
        check_seconds("write_wait", write_wait)
        how = how or LoopWaiting()
        self.clock = clock
        """Returns the time in microseconds since the epoch."""
        self.owner = process_name()
        """Names this process, as ``host:pid``, in leases and as an owner of consumers."""
        reads = UpcastReads(upcasters)
        inline = check_inline(inline, identifier_bytes=identifier_bytes(url))
        self.inline = tuple(projection.name for projection in inline)
        """The names of the inline projections."""
        self._create = create
        views = make_views(reads.projections(inline), on_newer_view)
        self._backend = make_backend(url, clock, views, write_wait)
        self.url = self._backend.url
        """Names the log, without a password."""
        keys = keys_in_force() if notify_keys is None else notify_keys
        self._notifier = make_notifier(notify, url, self._backend.path, keys)
        self._writer = Writer(self._backend)
        self._log = LogAccess(self._backend, reads.pages(self._backend.page), self._writer, how)
        self.feed = ChangeFeed(
            self._log, self._notifier, owner=self.owner, poll=poll, lift=reads.lift, how=how
        )
        """What subscriptions share: for projections and tests rather than for programs."""
        if inline:
            self.feed.on_wake_up = ViewRefresh(self._writer.submit_later).heard
        self._maintenance = Maintenance(
            self._log, self.feed, reads.lift, partial(_make_view, reads, url)
        )
        self.queries = Queries(self._log)
        """Reads of inline projections: for the storage seams rather than for programs."""
        self._lifecycle = Lifecycle(
            self._log, self.feed, self._writer, self._notifier, self.queries
        )

    @classmethod
    def open(
        cls,
        url: str,
        *,
        notify: str = "auto",
        inline: Sequence[InlineProjection] = (),
        clock: Clock = system_clock,
        poll: float = POLL_SECONDS,
        create: bool = True,
        upcasters: Upcasters | None = None,
        notify_keys: Sequence[str] | None = None,
        write_wait: float | None = None,
        on_newer_view: OnNewerView = "skip",
    ) -> Self:
        """Name a log to be entered with ``async with``.

        ``url`` is ``sqlite:///events.db`` (four slashes for an absolute path),
        ``postgresql://user:password@host/database`` (with any of libpq's parameters),
        ``https://TOKEN@host`` for a log behind a server (docs/remote.md) or ``memory://``. What
        is not there is created; with ``create=False`` entering raises NoLogError instead and
        leaves nothing behind. ``notify`` wakes
        subscriptions in other processes: ``"auto"``, ``"file"``, ``"postgres"``, ``"none"`` or
        the URL of a Redis. Messages to it are signed with the first of ``notify_keys``
        (default: those of the environment) and accepted if signed with any of them. ``inline``
        projections are applied inside each append's transaction. ``clock`` gives microseconds
        since the epoch. ``poll`` is the poll interval in seconds: a subscription without
        wake-ups reads the head of the log so often, unless another process has just read it and
        sent a heartbeat. ``upcasters`` lift events of older shapes wherever they are read.
        ``write_wait`` is the longest wait for the turn to write a SQLite file, in seconds
        (default: 30, or that of the environment); after it LockTimeoutError names the holder.
        ``on_newer_view`` says what happens where an inline projection has been computed by a
        program with a newer version of it: with ``"skip"`` appends go on without it, and that
        program brings it up; with ``"refuse"`` opening and appends raise ProjectionVersionError.

        Raises ConfigError for a URL or notifier that is not known and for projections that cannot
        be inline (see docs/projections.md), InvalidInputError for a
        ``poll`` that is not a finite number above 0.
        """
        options = (upcasters, notify_keys, write_wait, on_newer_view)
        return cls(url, notify, inline, clock, poll, *options, create=create)

    async def _enter(self) -> None:
        await self._lifecycle.open(create=self._create)
        self.owner = self.feed.consumers.owner

    async def _leave(self) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Finish queued appends, store checkpoints, end subscriptions, release the log.

        What another process keeps from being written for 30 s (1 s for a cancelled task) is not.
        Returns once that is done, also where another task closes it. Never open: does nothing.
        """
        await self._lifecycle.close()

    def __del__(self) -> None:
        """Warn of a store that was never closed, and close it."""
        lifecycle = getattr(self, "_lifecycle", None)
        if lifecycle is not None and lifecycle.abandon():
            warn_unclosed(self, f"the store {self.url}", "use it by 'with', or close it")

    def check_open(self) -> None:
        """Raise what every method raises where the store is not open, or not open here."""
        self._log.check_open()

    @property
    def closed(self) -> bool:
        """Whether the store was closed."""
        return self._log.closed

    async def append(
        self, stream: str, events: Sequence[NewEvent], *, expected: Expected = ANY
    ) -> Appended:
        """Append events to one stream; return once they are durable.

        ``expected`` is the version that the stream must have: a number, ``NO_STREAM``,
        ``STREAM_EXISTS`` or ``ANY``. Raises ConflictError where it has another,
        DuplicateEventError where an id is known with other content, InvalidInputError or
        LimitExceededError for what may not be stored. If the call is cancelled, or fails
        with StorageError, the outcome may be unknown: append the same events again.
        """
        return await self.append_many([StreamWrite(stream, events, expected)])

    async def append_many(self, writes: Iterable[StreamWrite]) -> Appended:
        """Append to several streams as one commit, or nothing; raise what :meth:`append` raises."""
        self._log.check_open()
        return await self._log.append(check_append(writes))

    def read(
        self,
        *,
        after: int | Cursor | Special = OLDEST,
        until: int | Cursor | None = None,
        streams: str | None = None,
        types: Iterable[str] | None = None,
        exclude_streams: str | Iterable[str] | None = None,
        exclude_types: Iterable[str] | None = None,
        backwards: bool = False,
        limit: int | None = None,
        kept: bool = False,
    ) -> EventReader:
        """Read the events in ``(after, until]`` that match, and end.

        Without ``after`` that is from the oldest event on that is still there; ``after=0`` asks
        for the first one that ever was. ``until=None`` is the head as the reading begins.
        ``streams`` is a category ending in ``/``, or one exact name; ``types`` a set of event
        types, as upcasters have lifted them; ``exclude_streams`` (one or several) and
        ``exclude_types`` leave events out. ``backwards`` gives the same events in the other
        order. With ``kept`` a read that begins below the first position starts with what
        trimming has kept. Iterating raises HistoryGoneError where a given ``after`` lies before
        the first position, HistoryDivergedError where it is beyond the head or a Cursor of
        another history, and UpcastError at an event that cannot be lifted.
        """
        return read_range(
            self._log,
            after,
            until,
            matching=check_filter(streams, types, exclude_streams, exclude_types, kept=kept),
            backwards=backwards,
            limit=limit,
            keep=self,
        )

    def read_stream(
        self,
        stream: str,
        *,
        after_version: int = 0,
        backwards: bool = False,
        limit: int | None = None,
    ) -> EventReader:
        """Read one stream's events after a version, and end. No such stream, no events."""
        return read_stream(
            self._log, stream, after_version, backwards=backwards, limit=limit, keep=self
        )

    async def head(self) -> Head:
        """Return where the log ends (``position``, ``hash``) and begins (``first_position``)."""
        return await self._log.head()

    def subscribe_changes(
        self,
        *,
        after: int | Cursor | Special = OLDEST,
        streams: str | None = None,
        types: Iterable[str] | None = None,
        exclude_streams: str | Iterable[str] | None = None,
        exclude_types: Iterable[str] | None = None,
        consumer: str | None = None,
        follow: bool = True,
        shard: tuple[int, int] | None = None,
        kept: bool = False,
        explicit_ack: bool = False,
    ) -> Subscription:
        """Follow the log: every matching event after ``after``, in order, without an end.

        Without ``after`` it begins with the oldest event that is still there. ``streams``,
        ``types`` and what is excluded are as for :meth:`read`. ``follow=False`` ends it at the
        head, for a worker that runs now and then. With ``consumer`` the log keeps a checkpoint
        under that name, and ``after`` only says where a new name begins. ``shard=(i, n)`` takes the
        ``i``-th of ``n`` parts, so that ``n`` workers share the events: a stream belongs to one
        part as a whole, which keeps its order. With ``kept`` a subscription that is below the first
        position goes on with what trimming has kept since its cursor, instead of HistoryGoneError.
        With ``explicit_ack`` a consumer marks each event as done by ``ack(event)``, in any order.
        See :class:`Subscription`.
        """
        return Subscription(
            self.feed,
            after,
            check_filter(streams, types, exclude_streams, exclude_types, kept=kept),
            consumer,
            follow=follow,
            shard=shard,
            explicit_ack=explicit_ack,
            keep=self,
        )

    def streams(self, prefix: str = "") -> AsyncIterator[StreamState]:
        """Return every stream whose name begins with ``prefix``, in the order of names."""
        return read_streams(self._log, prefix, keep=self)

    async def status(
        self, *, consumers: int | None = SHOWN_CONSUMERS, among: int | None = SEARCHED_CONSUMERS
    ) -> dict[str, Any]:
        """Return the state of log, notifier and consumers as JSON-ready values.

        Of the consumers these are the number, and those that are furthest behind: so many at the
        most, or all of them for ``None``. Only the first ``among`` by name are counted and
        searched, so that the cost is bounded; ``more_consumers`` is there where that are not all.
        """
        return await describe_store(self._log, self.feed, self.clock(), consumers, among)

    async def query(
        self, function: Callable[[Any, Head], T], *, timeout: float = QUERY_SECONDS
    ) -> T:
        """Return ``function(connection, head)`` from one snapshot of the log's database.

        For reading inline projections: it runs in a thread, and must change nothing. It is called
        again where the connection was lost, or a projection's tables were replaced meanwhile. A
        projection is as far as its checkpoint, which is behind ``head`` where a program without
        it has appended; :meth:`transact` brings it up to date.

        Raises QueryTimeoutError where it has no result after ``timeout`` seconds, the wait for
        one of the 4 threads of queries included, and ends the statement that runs then, or runs
        when the caller is cancelled. A function that computes without a statement is not ended.
        """
        return await self.queries.run(function, timeout)

    @property
    def in_threads(self) -> ThreadCalls:
        """What threads do with this store beside its event loop, while it is open."""
        return ThreadCalls(self._log, self._writer, self.queries)

    async def transact(self, function: Callable[[Any], None] = lambda _: None) -> None:
        """Bring inline projections to the head, then call ``function(connection)``.

        Both are one transaction of the log's database, which commits before this returns. It is
        for tables beside the log that are not history, such as access times and heartbeats.
        ``connection`` is what inline projections get. The function runs in the writer's thread,
        and once more if the connection was lost, so its effect must be idempotent. Where it
        raises, the transaction is rolled back and the error is raised here (as StorageError
        where it could be the database's own, like KeyError or OSError).
        """
        await self._log.write(Transact(function))

    def transact_later(self, function: Callable[[Any], None]) -> Future[None]:
        """Do the same as :meth:`transact` within 200 ms, together with the next appends.

        The future gives the outcome. Closing the store carries out what is left.
        """
        return self._log.writer.submit_later(Transact(function))


def _make_view(reads: UpcastReads, url: str, projection: InlineProjection) -> InlineView:
    """Return a projection as an inline view, whose events are upcast."""
    checked = check_inline([projection], identifier_bytes=identifier_bytes(url))
    return InlineView(reads.projections(checked)[0])
