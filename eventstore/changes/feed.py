"""The change feed: what the subscriptions of one store share."""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING
from weakref import WeakSet

from eventstore.changes._consumers import ConsumerOwnership
from eventstore.changes._page_cache import PageCache
from eventstore.changes._poll_schedule import PollSchedule
from eventstore.changes._poll_turn import PollTurn
from eventstore.changes._tail_buffer import TailBuffer
from eventstore.changes.rejections import CATEGORY
from eventstore.log.validation import check_append
from eventstore.notify.protocol import LogIdentity
from eventstore.system.event_loop import Inbox, Signal

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.changes.protocol import FollowedLog, Follower
    from eventstore.log.events import Event, StreamWrite
    from eventstore.log.operations import CommitBatch, Page, Query
    from eventstore.notify.protocol import Notifier
    from eventstore.system.waiting import Call, Waiting

log = logging.getLogger(__name__)


class ChangeFeed:
    """Wakes the subscriptions of a store and reads the log for all of them.

    ``poll`` is the poll interval in seconds, ``owner`` names this process towards other ones,
    ``lift`` upcasts an event. Methods run in the store's event loop, except where their
    docstrings name a thread.
    """

    tail: TailBuffer
    """The newest events, for subscriptions that have caught up."""
    pages: PageCache
    """Pages that subscriptions which are behind have read."""
    poll_turn: PollTurn
    """Says which of the subscriptions that wait wakes for the next poll."""

    def __init__(
        self,
        log: FollowedLog,
        notifier: Notifier,
        *,
        owner: str,
        poll: float,
        lift: Callable[[Event], Event],
        how: Waiting,
    ) -> None:
        self.log = log
        """Reads the log, and queues what is to be written."""
        self.poll = poll
        """The poll interval in seconds."""
        self.how = how
        """How subscriptions wait: in an event loop, or in threads."""
        self.changed = Signal(how)
        """Set when there may be new events, or a consumer has a new owner."""
        self.recovered = Signal(how)
        """Set when a subscription can read again after the database was unreachable."""
        self.waiting = Signal(how)
        """Set each time a subscription begins to wait at the head."""
        self.consumers = ConsumerOwnership(log, owner, self.changed)
        self.on_wake_up: Callable[[], None] | None = None
        """Called after each wake-up of the notifier, in its thread."""
        self.following: WeakSet[Follower] = WeakSet()
        """The subscriptions that are open."""
        self._notifier = notifier
        self._lift = lift
        self._listening = False
        self._reading = False

    def start(self, call: Call, owner: str) -> None:
        """Begin where coroutines run, in which ``call`` runs a callable from any thread.

        ``owner`` names this process: another one than made the feed, where it was forked since.
        """
        self.consumers.owner = owner
        self._call = call
        self._inbox = Inbox(call, self._take_batch, self.changed.set)
        self._own = Inbox(call, self._take_own, self.wake)
        schedule = PollSchedule(self.poll)
        self.tail = TailBuffer(
            self.log.page,
            self.changed,
            schedule,
            self.consumers,
            self._send_heartbeat,
            self._lift,
            self.how,
        )
        self.pages = PageCache(self.log.page, waiting=self.how)
        self.poll_turn = PollTurn()

    def listen(self) -> None:
        """Begin to listen for commits of other processes, once; raise StoreClosedError if closed.

        To be called before the first read of a subscription.
        """
        self.log.check_open()
        if not self._listening:
            self._listening = True
            self._notifier.start(self._identity, self._hear)

    async def page(self, query: Query) -> Page:
        """Read one page of the log. Raises HistoryDivergedError and HistoryGoneError; see Query."""
        return await self.log.page(query)

    async def append(self, write: StreamWrite) -> None:
        """Append a rejection; raise what :meth:`eventstore.EventStore.append` raises."""
        await self.log.write(check_append([write], own=CATEGORY))

    def notifier_facts(self) -> dict[str, str | int]:
        """Return the notifier's part of ``status``, without a read of the database."""
        return self._notifier.describe()

    def committed(self, position: int, batch: CommitBatch | None) -> None:
        """Wake subscriptions here and in other processes after a commit; from any thread.

        ``batch`` is what was appended, where the notifier carries it.
        """
        if batch is None or self._notifier.carries_batches:
            self.wake(None, batch)
        else:
            self._own.put(batch)
        self._notifier.publish(self._identity, position, batch)

    def wants_batches(self) -> bool:
        """Whether :meth:`committed` has a use for what is appended now; from any thread."""
        return self._notifier.carries_batches or self.changed.awaited

    def replaced(self, position: int) -> None:
        """Forget what was read: the log has another content now, up to ``position``."""
        self.tail.reset()
        self.pages.clear()
        self.committed(position, None)

    def _hear(self, position: int | None = None, batch: CommitBatch | None = None) -> None:
        if batch is not None or position is None or not self._read_here(position):
            self.wake(position, batch)
        if self.on_wake_up is not None:
            self.on_wake_up()

    def _read_here(self, position: int) -> bool:
        """Read what follows the window, in the notifier's thread; return False to leave that alone.

        Subscriptions that wait would have it read in another thread: two changes of threads more.
        One page at a time, and none after false wake-ups, whose reads are delayed.
        """
        query = self.tail.next_query()
        if query is None or position <= query.after or self._reading or not self.changed.awaited:
            return False
        if self.tail.back_off.false_wake_ups:
            return False
        self._reading = True
        page: Page | None = None
        try:
            page = self.log.page_here(query)
        except Exception:
            log.debug("each subscription reads for itself, and meets this error", exc_info=True)
        self._call(partial(self._take_page, page, query.after))
        return True

    def _take_page(self, page: Page | None, after: int) -> None:
        """Give a page that was read in the notifier's thread to the subscriptions that wait."""
        self._reading = False
        if page is None or page.lost or self.tail.position < after:
            # An error, another window, a new owner of a consumer: a read of their own says it.
            self.changed.set()
            return
        self.log.saw(page.head.cursor)
        if self.tail.add_page(page):
            self.changed.set(read=False)

    def wake(self, position: int | None = None, batch: CommitBatch | None = None) -> None:
        """Take a wake-up from the notifier or the writer, in one of their threads.

        See :class:`eventstore.notify.protocol.Wake`.
        """
        if batch is not None:
            self._inbox.put(batch)
        elif position is None:
            # This process itself knows that there is something to read.
            self.changed.set()
            if self.tail.back_off.false_wake_ups:
                self._call(self.tail.back_off.end)
        elif position > self.tail.position:
            self.changed.set()
        else:
            self._call(partial(self.tail.compare, position))

    def _take_batch(self, batch: CommitBatch) -> None:
        if self.tail.add(batch):
            self.changed.set(read=False)
        elif self.tail.compare(batch.position, batch.events[-1].hash):
            self.changed.set()

    def _take_own(self, batch: CommitBatch) -> None:
        """Give what this store has appended to its own subscriptions, without a read."""
        if self.tail.add_own(batch):
            self.changed.set(read=False)
        else:
            self.wake()

    @property
    def _identity(self) -> LogIdentity:
        return LogIdentity(self.log.newest.log_id, self.log.incarnation)

    def _send_heartbeat(self, position: int) -> None:
        self._notifier.confirm(self._identity, position)
