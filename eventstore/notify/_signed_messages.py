"""Messages that notifiers send between processes, and their signatures.

Without a key a message is a position and nothing else: it may cause a read of the log, and is
never trusted. With a key it is signed (HMAC-SHA256, RFC 2104) and may carry the events of whole
commits. A signed message contains its time, its sender and the sender's number for it, so that
a replayed copy is recognised.
"""

from __future__ import annotations

import hmac
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import msgspec

from eventstore.log.events import Cursor, Event
from eventstore.log.operations import CommitBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAC_BYTES: Final = 32
SIGNED: Final = b"\x01"
"""First byte of a signed message; one that is not signed begins with a digit."""

MAX_AGE_SECONDS: Final = 30.0
"""Most that the clocks of sender and receiver may differ, transmission included."""

MAX_SENDERS: Final = 4096
"""Senders of which the last message's number is remembered."""

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Larger commits are announced by position, and read from the log."""


class Message(NamedTuple):
    """A message that was accepted: a position, and perhaps the events that were appended."""

    position: int
    batch: CommitBatch | None = None
    incarnation: str = ""
    """Of the sender's log; empty also where an earlier version sent it."""


_Row: TypeAlias = tuple[str, int, str, int, bytes, int, bytes | None, bytes | None, int, bytes]
"""The fields of an event behind its position, which follows from its place in the message."""


class _Body(msgspec.Struct, array_like=True, frozen=True):
    log_id: str
    sender: bytes
    number: int
    sent_us: int
    position: int
    previous: bytes
    rows: list[_Row]
    incarnation: str = ""


class RefusedMessageError(ValueError):
    """A message that no process of this log sends; ``args[0]`` is the reason, one word."""


def _now_us() -> int:
    return time.time_ns() // 1000


class Signer:
    """Encodes and checks the messages of one log, with ``keys``: the first one signs.

    Every key is accepted, so that a new one can be distributed to all processes before the old
    one is removed. ``clock`` gives microseconds since the epoch. Checking is for one thread.
    """

    def __init__(self, keys: Sequence[bytes], clock: Callable[[], int] = _now_us) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self._sender = os.urandom(8)
        self._number = 0
        self._last: OrderedDict[bytes, int] = OrderedDict()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Body).decode

    def encode(
        self, log_id: str, position: int, batch: CommitBatch | None, incarnation: str = ""
    ) -> bytes:
        """Return the message for a commit; one that is too large leaves the events out."""
        if not self._keys:
            return b"%d" % position
        self._number += 1
        message = self._sign(log_id, position, batch, incarnation)
        if batch is not None and len(message) > MAX_MESSAGE_BYTES:
            return self._sign(log_id, position, None, incarnation)
        return message

    def _sign(
        self, log_id: str, position: int, batch: CommitBatch | None, incarnation: str
    ) -> bytes:
        events = batch.events if batch is not None else ()
        rows: list[_Row] = [msgspec.structs.astuple(event)[1:] for event in events]
        previous = batch.previous.hash if batch is not None else b""
        body = self._encode(
            _Body(
                log_id, self._sender, self._number, self._clock(), position, previous, rows,
                incarnation,
            )
        )  # fmt: skip
        return SIGNED + hmac.digest(self._keys[0], body, "sha256") + body

    def decode(self, log_id: str, message: bytes) -> Message:
        """Return a message's content; raise RefusedMessageError for one that is not accepted."""
        if not self._keys:
            return _plain(message)
        if message[:1] != SIGNED:
            raise RefusedMessageError("unsigned")
        if len(message) > MAX_MESSAGE_BYTES:
            # Refused before it is decoded: no process of this log sends it.
            raise RefusedMessageError("oversized")
        mac, body = message[1 : 1 + MAC_BYTES], message[1 + MAC_BYTES :]
        if not any(hmac.compare_digest(hmac.digest(k, body, "sha256"), mac) for k in self._keys):
            raise RefusedMessageError("forged")
        try:
            fields = self._decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RefusedMessageError("malformed") from error
        if fields.log_id != log_id:
            raise RefusedMessageError("foreign")
        self._check_fresh(fields)
        return Message(fields.position, _batch_of(fields), fields.incarnation)

    def _check_fresh(self, fields: _Body) -> None:
        if abs(self._clock() - fields.sent_us) > MAX_AGE_SECONDS * 1e6:
            raise RefusedMessageError("stale")
        if fields.number <= self._last.get(fields.sender, 0):
            raise RefusedMessageError("replayed")
        self._last[fields.sender] = fields.number
        self._last.move_to_end(fields.sender)
        if len(self._last) > MAX_SENDERS:
            self._last.popitem(last=False)


def _plain(message: bytes) -> Message:
    if not message.isdigit() or len(message) > 20:
        raise RefusedMessageError("malformed")
    return Message(int(message))


def _batch_of(fields: _Body) -> CommitBatch | None:
    if not fields.rows:
        return None
    first = fields.position - len(fields.rows) + 1
    events = tuple(Event(first + at, *row) for at, row in enumerate(fields.rows))
    return CommitBatch(Cursor(fields.log_id, first - 1, fields.previous), events)
