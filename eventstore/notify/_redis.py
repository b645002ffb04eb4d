"""Waking subscriptions by Redis pub/sub: messages may be lost, late, doubled or forged.

One thread publishes what the writer hands it, without making the writer wait. What it could not
send it retries, or sends a newer position instead. Another thread subscribes. It sends pings of
its own, because the client library does not notice a server that has stalled. It reconnects with
a jittered back-off, which ends once something has been received. After each reconnect it wakes
the subscriptions, so that they read what they may have missed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import redis
from redis.exceptions import NoPermissionError

from eventstore.notify._redis_client import TIMEOUT_SECONDS, explain, make_client
from eventstore.notify._signed_messages import Message, RefusedMessageError, Signer
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.operations import CommitBatch
    from eventstore.notify.protocol import LogIdentity, Wake
    from eventstore.system.secret_url import SecretUrl

log = logging.getLogger(__name__)

PING_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 5.0
"""Interval of the pings, and the silence after which the server counts as lost."""

QUEUE: Final = 256
"""Most messages that wait to be sent; beyond it only the last position is."""

_FAILURES = (redis.RedisError, OSError)


class _Item(NamedTuple):
    """What is to be sent: a commit, or (``found``) a position that was only read."""

    log: LogIdentity
    position: int
    batch: CommitBatch | None = None
    found: bool = False


class RedisNotifier:
    """Publishes to, and listens on, one channel per log.

    ``url`` is ``redis://[user[:password]@]host[:port][/db]``, ``rediss://`` for TLS, or
    ``unix://``, with redis-py's parameters. With ``keys`` messages are signed and carry the
    events; see :mod:`eventstore.notify._signed_messages`.
    """

    def __init__(self, url: str | SecretUrl, keys: Sequence[bytes]) -> None:
        self._client = make_client(url)
        self._signer = Signer(keys)
        self.carries_batches = bool(keys)
        self._queue: deque[_Item] = deque()
        self._changed = threading.Condition()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._counts: Counter[str] = Counter()
        self._subscribed = 0
        self._listening: bool | None = None
        self._errors = {"listen": "", "publish": ""}
        self._may_confirm = True

    def start(self, log: LogIdentity, wake: Wake) -> None:
        """Begin to listen."""
        self._log, self._wake, self._listening = log, wake, False
        self._begin(self._listen, "eventstore-redis-listener")

    def publish(self, log: LogIdentity, position: int, batch: CommitBatch | None) -> None:
        """Hand a message to the thread that sends. Never waits, never raises."""
        with self._changed:
            if len(self._queue) >= QUEUE:
                self._queue.clear()
                self._counts["dropped"] += 1
                batch = None
            self._enqueue(_Item(log, position, batch))

    def confirm(self, log: LogIdentity, position: int) -> None:
        """Publish a position that was read, unless there is more to send or sending fails."""
        with self._changed:
            failing = any(self._errors.values()) or self._closing.is_set()
            if self._may_confirm and not self._queue and not failing:
                self._enqueue(_Item(log, position, found=True))

    def _enqueue(self, item: _Item) -> None:
        self._queue.append(item)
        if not any(thread.name == "eventstore-redis-publisher" for thread in self._threads):
            self._begin(self._send, "eventstore-redis-publisher")
        self._changed.notify()

    def close(self) -> None:
        """Stop, once the waiting messages have been sent, or one has failed again."""
        self._closing.set()
        with self._changed:
            self._changed.notify()
        for thread in self._threads:
            thread.join(2 * TIMEOUT_SECONDS)
        self._client.close()

    def describe(self) -> dict[str, str | int]:
        """Return the kind, what was received, sent and refused, and the present trouble.

        ``listening`` is there once it was asked to, and 1 while the server has said that it does.
        """
        facts: dict[str, str | int] = {"notifier": "redis", "signed": int(self.carries_batches)}
        facts |= {f"messages_{name}": count for name, count in sorted(self._counts.items())}
        facts["reconnects"] = max(0, self._subscribed - 1)
        if self._listening is not None:
            facts["listening"] = int(self._listening)
        trouble = "; ".join(filter(None, self._errors.values()))
        return facts | ({"trouble": trouble} if trouble else {})

    def _begin(self, run: Any, name: str) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _report(self, doing: str, error: BaseException) -> None:
        message = f"cannot {doing}: {explain(error)}"
        # Closing ends the listening; a message that could not be published is worth a warning.
        expected = doing == "listen" and self._closing.is_set()
        if message != self._errors[doing] and not expected:
            log.warning("%s; subscriptions poll meanwhile", message)
        self._errors[doing] = message

    def _send(self) -> None:
        backoff = Backoff()
        while (item := self._next_item()) is not None:
            try:
                self._publish(item)
            except _FAILURES as error:
                self._counts["unsent"] += 1
                if self._is_refused(item, error):
                    continue
                self._report("publish", error)
                if self._closing.is_set():
                    return
                self._put_back(item)
                self._closing.wait(backoff.next())
            else:
                self._counts["sent"] += 1
                self._errors["publish"] = ""
                backoff.reset()

    def _publish(self, item: _Item) -> None:
        log_id, incarnation = item.log
        message = self._signer.encode(log_id, item.position, item.batch, incarnation)
        if not incarnation or self.carries_batches:
            self._client.publish(channel(log_id), message)
            return
        # A position alone cannot name its incarnation: it has a channel of its own. The log's
        # channel is for earlier versions, and a leading zero says to others that it is theirs.
        self._client.publish(channel(log_id), b"0" + message)
        self._client.publish(channel(log_id, incarnation), message)

    def _is_refused(self, item: _Item, error: BaseException) -> bool:
        """Whether Redis forbids this process to publish a position that it only read."""
        if not item.found or not isinstance(error, NoPermissionError):
            return False
        self._may_confirm = False
        return True

    def _put_back(self, item: _Item) -> None:
        """Queue the message again, unless a newer one is waiting: that includes it."""
        with self._changed:
            if not self._queue:
                self._queue.append(item)

    def _next_item(self) -> _Item | None:
        with self._changed:
            while not self._queue and not self._closing.is_set():
                self._changed.wait()
            return self._queue.popleft() if self._queue else None

    def _listen(self) -> None:
        backoff = Backoff()
        while not self._closing.is_set():
            try:
                self._follow(backoff)
            except _FAILURES as error:
                self._listening = False
                if not self._closing.is_set():
                    self._report("listen", error)
                self._closing.wait(backoff.next())

    def _follow(self, backoff: Backoff) -> None:
        """Listen on one connection, until it fails or falls silent or the notifier closes."""
        subscription: Any = self._client.pubsub()  # type: ignore[no-untyped-call]
        with subscription:
            subscription.subscribe(*self._channels())
            heard = asked = time.monotonic()
            while not self._closing.is_set():
                message = subscription.get_message(timeout=0.5)
                now = time.monotonic()
                if message is not None:
                    heard = now
                    self._take(message, backoff)
                elif now - heard > SILENCE_SECONDS:
                    raise redis.TimeoutError(f"no answer for {SILENCE_SECONDS:.0f} s")
                elif now - asked > PING_SECONDS:
                    subscription.ping()
                    asked = now

    def _channels(self) -> list[str]:
        log_id, incarnation = self._log
        own = [channel(log_id, incarnation)] if incarnation and not self.carries_batches else []
        return [channel(log_id), *own]

    def _take(self, message: dict[str, Any], backoff: Backoff) -> None:
        if message["type"] == "subscribe":
            # The first one or a later one: what was published before it was missed.
            self._subscribed += message["channel"] == channel(self._log.log_id).encode()
            self._listening = True
            self._wake()
            return
        backoff.reset()
        self._errors["listen"] = ""
        if message["type"] != "message":
            return
        try:
            received = self._signer.decode(self._log.log_id, message["data"])
        except RefusedMessageError as error:
            self._refuse(str(error))
            return
        self._believe(received, message)

    def _believe(self, received: Message, message: dict[str, Any]) -> None:
        """Wake the subscriptions, unless the sender's log is another copy of this one.

        An earlier version does not say which copy it has: that is no more than a reason to look.
        """
        own = self._log.incarnation
        sent = received.incarnation
        if not self.carries_batches:
            sent = own if message["channel"] == channel(self._log.log_id, own).encode() else ""
            if message["channel"] == channel(self._log.log_id).encode() and _is_for_older(message):
                return  # It has come, or not, on the channel of its incarnation too.
        if sent and sent != own:
            self._counts["foreign"] += 1
        elif sent != own:
            self._counts["hints"] += 1
            self._wake()
        else:
            self._counts["news" if received.batch else "hints"] += 1
            self._wake(received.position, received.batch)

    def _refuse(self, reason: str) -> None:
        self._counts[reason] += 1
        if self._counts[reason] == 1:
            # Once: a sender of such messages could otherwise fill the program's log.
            log.warning(
                "refused a message from Redis (%s): are EVENTSTORE_NOTIFY_KEY and the clocks the "
                "same everywhere? further ones are counted, and the log has what was meant",
                reason,
            )


def channel(log_id: str, incarnation: str = "") -> str:
    """Return the name of a log's channel, for the ACL of a Redis user: ``eventstore:*``."""
    return f"eventstore:{log_id}:{incarnation}" if incarnation else f"eventstore:{log_id}"


def _is_for_older(message: dict[str, Any]) -> bool:
    return bytes(message["data"][:1]) == b"0"
