"""Waking followers by Redis pub/sub: messages may be lost, late, doubled or forged.

One thread publishes what the writer hands it, and never makes it wait; what it could not send
it sends once it can, or what is newer by then. One thread subscribes. It sends pings of its own,
because the client library does not notice a server that has stalled; it connects again with a
jittered wait that grows until something has been received; and after each subscription it wakes
the followers, so that they read what they may have missed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import redis
from redis.exceptions import NoPermissionError

from eventstore.notify.redis_client import TIMEOUT_SECONDS, explain, make_client
from eventstore.notify.signed_messages import RefusedMessageError, Signer
from eventstore.system.backoff import Backoff

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.log.operations import CommitBatch
    from eventstore.notify.protocol import Wake
    from eventstore.system.secret_url import SecretUrl

log = logging.getLogger(__name__)

PING_SECONDS: Final = 2.0
SILENCE_SECONDS: Final = 5.0
"""How often the server is asked whether it lives, and after what silence it does not."""

QUEUE: Final = 256
"""Messages that wait to be sent at the most; beyond it only the last position is."""

_TROUBLES = (redis.RedisError, OSError)


class _Item(NamedTuple):
    """What is to be sent: what was committed, or only what a look has found."""

    log_id: str
    position: int
    batch: CommitBatch | None = None
    found: bool = False


class RedisNotifier:
    """Publishes to, and listens on, one channel per log.

    ``url`` is ``redis://[user[:password]@]host[:port][/db]``, ``rediss://`` for TLS, or
    ``unix://``, with redis-py's parameters. With ``keys`` messages are signed and carry the
    events; see :mod:`eventstore.notify.signed_messages`.
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
        self._troubles = {"listen": "", "publish": ""}
        self._may_confirm = True

    def start(self, log_id: str, wake: Wake) -> None:
        """Begin to listen."""
        self._log_id, self._wake, self._listening = log_id, wake, False
        self._begin(self._listen, "eventstore-redis-listener")

    def publish(self, log_id: str, position: int, batch: CommitBatch | None) -> None:
        """Hand a message to the thread that sends. Never waits, never raises."""
        with self._changed:
            if len(self._queue) >= QUEUE:
                self._queue.clear()
                self._counts["dropped"] += 1
                batch = None
            self._enqueue(_Item(log_id, position, batch))

    def confirm(self, log_id: str, position: int) -> None:
        """Tell the others, unless there is something else to tell, or nobody to tell it to."""
        with self._changed:
            troubled = any(self._troubles.values()) or self._closing.is_set()
            if self._may_confirm and not self._queue and not troubled:
                self._enqueue(_Item(log_id, position, found=True))

    def _enqueue(self, item: _Item) -> None:
        self._queue.append(item)
        if not any(thread.name == "eventstore-redis-publisher" for thread in self._threads):
            self._begin(self._send, "eventstore-redis-publisher")
        self._changed.notify()

    def close(self) -> None:
        """Stop, once what waits has been sent, or has failed once more."""
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
        trouble = "; ".join(filter(None, self._troubles.values()))
        return facts | ({"trouble": trouble} if trouble else {})

    def _begin(self, run: Any, name: str) -> None:
        thread = threading.Thread(target=run, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _report(self, doing: str, error: BaseException) -> None:
        trouble = f"cannot {doing}: {explain(error)}"
        # Whoever closes has ended the listening; what could not be published is worth a word.
        expected = doing == "listen" and self._closing.is_set()
        if trouble != self._troubles[doing] and not expected:
            log.warning("%s; followers read on a timer meanwhile", trouble)
        self._troubles[doing] = trouble

    def _send(self) -> None:
        backoff = Backoff()
        while (item := self._next_item()) is not None:
            try:
                message = self._signer.encode(item.log_id, item.position, item.batch)
                self._client.publish(channel(item.log_id), message)
            except _TROUBLES as error:
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
                self._troubles["publish"] = ""
                backoff.reset()

    def _is_refused(self, item: _Item, error: BaseException) -> bool:
        """Whether this is a worker that may not publish, and has nothing that it must."""
        if not item.found or not isinstance(error, NoPermissionError):
            return False
        self._may_confirm = False
        return True

    def _put_back(self, item: _Item) -> None:
        """Keep the newest position that nobody has been told of; a later one includes it."""
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
            except _TROUBLES as error:
                self._listening = False
                if not self._closing.is_set():
                    self._report("listen", error)
                self._closing.wait(backoff.next())

    def _follow(self, backoff: Backoff) -> None:
        """Listen on one connection, until it fails or falls silent or the notifier closes."""
        subscription: Any = self._client.pubsub()  # type: ignore[no-untyped-call]
        with subscription:
            subscription.subscribe(channel(self._log_id))
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

    def _take(self, message: dict[str, Any], backoff: Backoff) -> None:
        if message["type"] == "subscribe":
            # The first one or a later one: what came before it was not heard.
            self._subscribed += 1
            self._listening = True
            self._wake()
            return
        backoff.reset()
        self._troubles["listen"] = ""
        if message["type"] != "message":
            return
        try:
            told = self._signer.decode(self._log_id, message["data"])
        except RefusedMessageError as error:
            self._refuse(str(error))
            return
        self._counts["news" if told.batch else "hints"] += 1
        self._wake(told.position, told.batch)

    def _refuse(self, reason: str) -> None:
        self._counts[reason] += 1
        if self._counts[reason] == 1:
            # Once: whoever can publish could fill the program's log with it.
            log.warning(
                "refused a message from Redis (%s): are EVENTSTORE_NOTIFY_KEY and the clocks the "
                "same everywhere? further ones are counted, and the log has what was meant",
                reason,
            )


def channel(log_id: str) -> str:
    """Return the name of a log's channel, for the ACL of a Redis user: ``eventstore:*``."""
    return f"eventstore:{log_id}"
