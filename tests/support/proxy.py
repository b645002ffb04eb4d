"""A network that misbehaves on demand: a TCP proxy between any client and any server.

Everything happens on one event loop in a thread of its own, in the order in which it is asked
for. When a method returns, what it does is done.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections import deque
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, cast
from urllib.parse import urlsplit

from support.network import HOST, free_port

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

T = TypeVar("T")
Side = Literal["client", "server"]

RESET: Final = struct.pack("ii", 1, 0)
"""For SO_LINGER: close with RST, and drop what was not sent."""
LONGEST: Final = 256
"""Bytes that a pattern may have."""


@dataclass(eq=False)
class Trigger:
    """Something to do the first time that one side sends certain bytes."""

    pattern: bytes
    action: Callable[[], object]
    sender: Side
    after: bool
    fired: threading.Event = field(default_factory=threading.Event)

    def fire(self) -> None:
        """Do it, and let those who wait know."""
        self.action()
        self.fired.set()


class Proxy:
    """Hands bytes on between the clients of ``port`` and a server, as long as it is let."""

    def __init__(self, host: str, port: int) -> None:
        self.upstream = (host, port)
        self.port = free_port()
        self.accepted = 0  # clients ever taken
        self.latency = 0.0
        self.frozen = False
        self.pairs: set[Pair] = set()
        self.triggers: list[Trigger] = []
        self.loop = asyncio.new_event_loop()
        self._listener: socket.socket | None = None
        self._taking: set[asyncio.Task[Any]] = set()
        self._thread = threading.Thread(target=self.loop.run_forever, name="proxy", daemon=True)

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return self._call(lambda: len(self.pairs))

    def url(self, url: str) -> str:
        """Return the URL of the server with this proxy's address in place of the server's."""
        parts = urlsplit(url)
        user, at, _ = parts.netloc.rpartition("@")
        return parts._replace(netloc=f"{user}{at}{HOST}:{self.port}").geturl()

    def cut(self) -> None:
        """Break all connections on both sides (RST); bytes not delivered yet are lost."""

        def cut() -> None:
            for pair in tuple(self.pairs):
                pair.cut()

        self._turn()  # those that are just being taken
        self._call(cut)
        self._turn()

    def delay(self, seconds: float) -> None:
        """Deliver what arrives from now on, in either direction, that much later; 0 ends it."""
        self._call(lambda: setattr(self, "latency", seconds))

    def freeze(self) -> None:
        """Take bytes and connections, and deliver nothing, not even that a side is gone."""
        self._call(lambda: setattr(self, "frozen", True))

    def thaw(self) -> None:
        """Deliver what was held, and go on."""

        def thaw() -> None:
            self.frozen = False
            for pair in self.pairs:
                for end in pair.ends:
                    self.loop.call_soon(end.deliver)

        self._call(thaw)

    def refuse(self) -> None:
        """Refuse new connections; those that bytes have gone through stay."""

        def refuse() -> None:
            if self._listener is not None:
                self.loop.remove_reader(self._listener)
                self._listener.close()
                self._listener = None

        self._call(refuse)

    def accept(self) -> None:
        """Take connections (again), on the same port as ever."""

        def accept() -> None:
            if self._listener is None:
                self._listener = socket.create_server((HOST, self.port))
                self._listener.setblocking(False)
                self.loop.add_reader(self._listener, self._take, self._listener)

        self._call(accept)

    def when(
        self,
        pattern: bytes,
        action: Callable[[], object],
        *,
        sender: Side = "client",
        after: bool = False,
    ) -> threading.Event:
        """Call ``action`` the first time that one side sends ``pattern``; return what tells of it.

        It is called on the proxy's thread just before the end of the pattern is handed on, with
        all that came in one piece with it, or just after. To cut before a client's COMMIT is
        handed on undoes the transaction; after it, the outcome is unknown; before a server's answer
        COMMIT is handed on (``sender="server"``), it is done and the client is not told.
        """
        if not 0 < len(pattern) <= LONGEST:
            raise ValueError(f"a pattern has 1 to {LONGEST} bytes, not {len(pattern)}")
        trigger = Trigger(pattern, action, sender, after)
        self._call(lambda: self.triggers.append(trigger))
        return trigger.fired

    def start(self) -> None:
        """Begin to take connections."""
        self._thread.start()
        self.accept()

    def stop(self) -> None:
        """Refuse, cut, and end the thread."""
        self.refuse()
        asyncio.run_coroutine_threadsafe(self._cut_all(), self.loop).result()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def _take(self, listener: socket.socket) -> None:
        """Take a client; asyncio's own ways lose one that they have when they are cancelled."""
        with suppress(BlockingIOError, ConnectionAbortedError):
            client, _ = listener.accept()
            client.setblocking(False)
            task = self.loop.create_task(
                self.loop.connect_accepted_socket(lambda: Pair(self).client, client)
            )
            self._taking.add(task)
            task.add_done_callback(self._taking.discard)

    def _turn(self) -> None:
        """Let the loop do what it has put off, unless this is the loop."""
        for _ in range(3):
            self._call(lambda: None)

    async def _cut_all(self) -> None:
        """Cut what there is, and what was just being taken, until sockets and tasks are gone."""
        me = asyncio.current_task()
        while (tasks := asyncio.all_tasks() - {me}) or self.pairs:
            for pair in tuple(self.pairs):
                pair.cut()
            await asyncio.gather(*tasks, return_exceptions=True)
        for _ in range(3):  # connections close in turns of the loop that come after
            await asyncio.sleep(0)

    def _call(self, action: Callable[[], T]) -> T:
        """Run something on the proxy's thread, be it called there or elsewhere."""
        if threading.current_thread() is self._thread:
            return action()
        result: Future[T] = Future()

        def run() -> None:
            try:
                result.set_result(action())
            except Exception as error:  # belongs to the caller
                result.set_exception(error)

        self.loop.call_soon_threadsafe(run)
        return result.result()


class Pair:
    """One client's connection, and the one to the server that was made for it."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.open = True
        self.client, self.server = self.ends = (End(self, "client"), End(self, "server"))
        self._connecting: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Connect to the server, now that there is a client."""
        self.proxy.accepted += 1
        self.proxy.pairs.add(self)
        self._connecting = self.proxy.loop.create_task(self._connect())

    async def _connect(self) -> None:
        try:
            await self.proxy.loop.create_connection(lambda: self.server, *self.proxy.upstream)
        except OSError:
            self.cut()

    def cut(self) -> None:
        """Break both connections and forget what was not delivered."""
        self.open = False
        self.proxy.pairs.discard(self)
        if self._connecting is not None:
            self._connecting.cancel()
        for end in self.ends:
            end.reset()


class End(asyncio.Protocol):
    """One side of a pair: takes what this side sends, delivers what the other side sent."""

    def __init__(self, pair: Pair, side: Side) -> None:
        self.pair = pair
        self.side = side
        self.transport: asyncio.Transport | None = None
        self.gone = False
        self._due: deque[tuple[float, bytes | None]] = deque()
        self._delivered = b""

    @property
    def other(self) -> End:
        """The side that this one talks to."""
        return self.pair.server if self.side == "client" else self.pair.client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if not self.pair.open:
            self.reset()
        elif self.side == "client":
            self.pair.begin()
        else:
            self.deliver()

    def data_received(self, data: bytes) -> None:
        self.other.receive(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport, self.gone = None, True
        if self.other.gone:
            self.pair.proxy.pairs.discard(self.pair)
        self.other.receive(None)

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.resume_reading()

    def receive(self, data: bytes | None) -> None:
        """Take bytes for this side, or None once there will be no more."""
        self._due.append((self.pair.proxy.loop.time() + self.pair.proxy.latency, data))
        self.deliver()

    def deliver(self) -> None:
        """Hand on all that is due, as far as the proxy lets it."""
        proxy = self.pair.proxy
        while self._due and self.pair.open and not proxy.frozen and self.transport is not None:
            due, data = self._due[0]
            if due > proxy.loop.time():
                proxy.loop.call_at(due, self.deliver)
            elif data is None:
                self._due.popleft()
                self.transport.close()
            elif self._stopped_before(data):
                continue
            else:
                self._due.popleft()
                self.transport.write(data)
                after = self._hits(data, after=True)
                self._delivered = (self._delivered + data)[-LONGEST:]
                for trigger in after:
                    trigger.fire()
                continue
            return

    def _stopped_before(self, data: bytes) -> bool:
        """Do what is to be done before these bytes; tell whether they may not be handed on."""
        for trigger in self._hits(data, after=False):
            trigger.fire()
        return self.pair.proxy.frozen or not self.pair.open

    def _hits(self, data: bytes, *, after: bool) -> list[Trigger]:
        """Take the triggers whose pattern ends in these bytes."""
        triggers = self.pair.proxy.triggers
        hits = [
            trigger
            for trigger in triggers
            if trigger.sender == self.other.side
            and trigger.after == after
            and trigger.pattern in self._delivered[1 - len(trigger.pattern) or LONGEST :] + data
        ]
        for trigger in hits:
            triggers.remove(trigger)
        return hits

    def reset(self) -> None:
        """Close with RST, and forget what was not delivered."""
        self._due.clear()
        if self.transport is not None:
            peer: socket.socket = self.transport.get_extra_info("socket")
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self.transport.abort()


@contextmanager
def proxied(host: str, port: int) -> Iterator[Proxy]:
    """Run a proxy to a server; end it in any case."""
    proxy = Proxy(host, port)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
