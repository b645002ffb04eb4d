"""One connection: uvicorn's, with time limits for what a client sends and for what it takes.

Uvicorn waits without end for the rest of a request and for a client that does not read, so that
idle connections use up what there is of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from eventstore.server.settings import ServerSettings

ANSWER_SECONDS: Final = 5.0
"""Seconds that a route has to answer 408 itself before the connection is cut."""


class Connection(H11Protocol):
    """A connection of a client, within the limits of the settings."""

    def __init__(self, settings: ServerSettings, **given: Any) -> None:
        super().__init__(**given)
        # Off also where a program gives uvicorn's logger a handler: uvicorn's lines have queries.
        self.access_log = False
        # For the route that writes to many connections itself: see write_part.
        self.app_state = {**self.app_state, "connection": self}
        self._settings = settings
        self._phase: tuple[str, object] = ("", None)
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    @property
    def gone(self) -> bool:
        """Whether nothing that is sent arrives any more."""
        return self.transport.is_closing()

    def write_part(self, body: bytes, chunk: bytes) -> bool:
        """Write a part of the answer that has begun: ``body``, or as HTTP/1.1 has it, ``chunk``.

        Return False, with nothing written, where the client has left too much unread, or is gone.
        It does what uvicorn does with each part, without a task and a state machine in between,
        and with bytes that are made once for all clients.
        """
        if self.flow.write_paused or self.transport.is_closing():
            return False
        older = (self.conn.their_http_version or b"1.0") < b"1.1"
        self.transport.write(body if older else chunk)
        return True

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; one connection too many is answered by 503."""
        super().connection_made(transport)
        if len(self.connections) > self._settings.connections:
            self._refuse(503, "too many connections", retry=True)
        else:
            self._watch()

    def data_received(self, data: bytes) -> None:
        """Take what the client has sent."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """End an answer."""
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        _cancel(self._reading)
        _cancel(self._writing)
        self._writing = None
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Hold answers back, for a time: the client has left too much unread."""
        super().pause_writing()
        if self._writing is None:
            self._writing = self.loop.call_later(self._settings.write_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on with answers."""
        _cancel(self._writing)
        self._writing = None
        super().resume_writing()

    def _watch(self) -> None:
        """Give the client a time to finish what it has begun to send."""
        phase, end = self._begun()
        if (phase, self.cycle) == self._phase:
            return
        self._phase = (phase, self.cycle)
        _cancel(self._reading)
        if not phase or self.transport.is_closing():
            return
        seconds = self._settings.header_seconds
        if phase == "body":
            seconds = self._settings.body_seconds + ANSWER_SECONDS
        self._reading = self.loop.call_later(seconds, end)

    def _begun(self) -> tuple[str, Callable[[], None]]:
        state, cycle = self.conn.their_state, cast("object", self.cycle)
        if state is h11.SEND_BODY:
            return "body", self.transport.abort
        if state is h11.IDLE and (cycle is None or self.conn.trailing_data[0]):
            return "headers", self._end_late
        return "", self.transport.abort  # Between two requests, uvicorn's own time limit holds.

    def _end_late(self) -> None:
        self._refuse(408, "the request did not come in time")

    def _refuse(self, status: int, reason: str, *, retry: bool = False) -> None:
        """Answer without the application, and close."""
        if self.transport.is_closing():
            return
        headers = [("content-type", "text/plain"), ("connection", "close")]
        if retry:
            headers.append(("retry-after", "5"))
        if self.conn.our_state is h11.IDLE:
            answer = h11.Response(status_code=status, headers=headers)
            for event in (answer, h11.Data(data=reason.encode()), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
        self.transport.close()


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()
