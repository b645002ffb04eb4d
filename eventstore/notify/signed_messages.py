"""What notifiers send between processes, and how a receiver knows whom it is from.

Without a key a message is a position and nothing else: it may make somebody look, never
believe. With a key it is signed (HMAC-SHA256, RFC 2104) and may carry the events of whole
commits. A signed message tells when, by which process and as which one of it it was sent, so
that a copy that is played again is told from the message itself.
"""

from __future__ import annotations

import hmac
import os
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from eventstore.log.events import Cursor, Event
from eventstore.log.operations import CommitBatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MAC_BYTES: Final = 32
SIGNED: Final = b"\x01"
"""First byte of a signed message; one that is not signed begins with a digit."""

MAX_AGE_SECONDS: Final = 30.0
"""How far sender's and receiver's clocks, and the way between, may differ."""

MAX_SENDERS: Final = 4096
"""Senders of which the last message's number is remembered."""

MAX_MESSAGE_BYTES: Final = 64 * 1024
"""Larger commits are announced by position, and read from the log."""


class Message(NamedTuple):
    """A message that may be acted upon: a position, and perhaps what was appended."""

    position: int
    batch: CommitBatch | None = None


class _Row(msgspec.Struct, array_like=True, frozen=True):
    stream: str
    version: int
    type: str
    commit: int
    raw_id: bytes
    content: int
    raw_data: bytes | None
    raw_metadata: bytes | None
    recorded_us: int
    hash: bytes


class _Body(msgspec.Struct, array_like=True, frozen=True):
    log_id: str
    sender: bytes
    number: int
    sent_us: int
    position: int
    previous: bytes
    rows: list[_Row]


class RefusedMessageError(ValueError):
    """A message was not what this log's processes send; ``args[0]`` says why, in one word."""


def _now_us() -> int:
    return time.time_ns() // 1000


class Signer:
    """Encodes and checks the messages of one log, with ``keys``: the first one signs.

    Every key is accepted, so that a new one can be brought to all processes before the old
    one goes. ``clock`` gives microseconds since the epoch. Checking is for one thread.
    """

    def __init__(self, keys: Sequence[bytes], clock: Callable[[], int] = _now_us) -> None:
        self._keys = tuple(keys)
        self._clock = clock
        self._sender = os.urandom(8)
        self._number = 0
        self._last: OrderedDict[bytes, int] = OrderedDict()
        self._encode = msgspec.msgpack.Encoder().encode
        self._decode = msgspec.msgpack.Decoder(_Body).decode

    def encode(self, log_id: str, position: int, batch: CommitBatch | None) -> bytes:
        """Return the message for a commit; one that is too large leaves the events out."""
        if not self._keys:
            return b"%d" % position
        self._number += 1
        message = self._sign(log_id, position, batch)
        if batch is not None and len(message) > MAX_MESSAGE_BYTES:
            return self._sign(log_id, position, None)
        return message

    def _sign(self, log_id: str, position: int, batch: CommitBatch | None) -> bytes:
        rows = [
            _Row(
                e.stream, e.version, e.type, e.commit, e.raw_id, e.content, e.raw_data,
                e.raw_metadata, e.recorded_us, e.hash,
            )
            for e in (batch.events if batch is not None else ())
        ]  # fmt: skip
        previous = batch.previous.hash if batch is not None else b""
        body = self._encode(
            _Body(log_id, self._sender, self._number, self._clock(), position, previous, rows)
        )
        return SIGNED + hmac.digest(self._keys[0], body, "sha256") + body

    def decode(self, log_id: str, message: bytes) -> Message:
        """Return what a message says; raise RefusedMessageError for one that is not for us."""
        if not self._keys:
            return _plain(message)
        if message[:1] != SIGNED:
            raise RefusedMessageError("unsigned")
        if len(message) > MAX_MESSAGE_BYTES:
            # Before its content costs anything: no process of ours sends it.
            raise RefusedMessageError("oversized")
        mac, body = message[1 : 1 + MAC_BYTES], message[1 + MAC_BYTES :]
        if not any(hmac.compare_digest(hmac.digest(k, body, "sha256"), mac) for k in self._keys):
            raise RefusedMessageError("forged")
        try:
            told = self._decode(body)
        except msgspec.DecodeError as error:
            raise RefusedMessageError("malformed") from error
        if told.log_id != log_id:
            raise RefusedMessageError("foreign")
        self._check_fresh(told)
        return Message(told.position, _news(told))

    def _check_fresh(self, told: _Body) -> None:
        if abs(self._clock() - told.sent_us) > MAX_AGE_SECONDS * 1e6:
            raise RefusedMessageError("stale")
        if told.number <= self._last.get(told.sender, 0):
            raise RefusedMessageError("replayed")
        self._last[told.sender] = told.number
        self._last.move_to_end(told.sender)
        if len(self._last) > MAX_SENDERS:
            self._last.popitem(last=False)


def _plain(message: bytes) -> Message:
    if not message.isdigit() or len(message) > 20:
        raise RefusedMessageError("malformed")
    return Message(int(message))


def _news(told: _Body) -> CommitBatch | None:
    if not told.rows:
        return None
    first = told.position - len(told.rows) + 1
    events = tuple(
        Event(
            first + at, row.stream, row.version, row.type, row.commit, row.raw_id, row.content,
            row.raw_data, row.raw_metadata, row.recorded_us, row.hash,
        )
        for at, row in enumerate(told.rows)
    )  # fmt: skip
    return CommitBatch(Cursor(told.log_id, first - 1, told.previous), events)
