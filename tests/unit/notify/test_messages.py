"""What a receiver believes: only what a holder of the key has just sent, once, about its log."""

from __future__ import annotations

import os
import random
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Cursor, Event
from eventstore.log.operations import CommitBatch
from eventstore.notify._signed_messages import (
    MAX_AGE_SECONDS,
    MAX_MESSAGE_BYTES,
    Message,
    RefusedMessageError,
    Signer,
)
from eventstore.testing import START_US, FakeClock

LOG: Final = "01a1fc54-320c-719d-8770-10863a3d59c8"
KEY: Final = b"k" * 32


def batch(count: int = 2, size: int = 10, previous: int = 4) -> CommitBatch:
    events = tuple(
        Event(previous + at, "a/1", at, "T", previous + count, os.urandom(16), 0,
              b"1" * size, b"", START_US, os.urandom(32))
        for at in range(1, count + 1)
    )  # fmt: skip
    return CommitBatch(Cursor(LOG, previous, b"p" * 32), events)


@pytest.fixture
def sender(clock: FakeClock) -> Signer:
    return Signer([KEY], clock)


@pytest.fixture
def receiver(clock: FakeClock) -> Signer:
    return Signer([KEY], clock)


def refused(receiver: Signer, message: bytes, log_id: str = LOG) -> str:
    with pytest.raises(RefusedMessageError) as caught:
        receiver.decode(log_id, message)
    return str(caught.value)


def test_a_signed_message_brings_the_events_exactly(sender: Signer, receiver: Signer) -> None:
    told = batch()
    assert receiver.decode(LOG, sender.encode(LOG, 6, told)) == Message(6, told)


def test_without_a_key_a_message_is_a_position_and_nothing_else() -> None:
    plain = Signer([])
    assert plain.encode(LOG, 6, batch()) == b"6"
    assert plain.decode(LOG, b"6") == Message(6)


@pytest.mark.parametrize("message", [b"", b"-1", b"x", b"1.5", b"9" * 21, b"\x01abc", "٣".encode()])
def test_without_a_key_anything_else_is_refused(message: bytes) -> None:
    assert refused(Signer([]), message) == "malformed"


def test_a_message_that_is_not_signed_is_refused_where_there_is_a_key(receiver: Signer) -> None:
    assert refused(receiver, b"7") == "unsigned"


def test_another_key_s_message_is_refused(clock: FakeClock, receiver: Signer) -> None:
    stranger = Signer([b"x" * 32], clock)
    assert refused(receiver, stranger.encode(LOG, 6, batch())) == "forged"


def test_an_older_key_is_accepted_as_long_as_it_is_listed(clock: FakeClock) -> None:
    old, new = Signer([KEY], clock), Signer([b"n" * 32, KEY], clock)
    assert new.decode(LOG, old.encode(LOG, 6, None)).position == 6
    assert refused(old, new.encode(LOG, 7, None)) == "forged"


def test_a_message_played_again_is_refused(sender: Signer, receiver: Signer) -> None:
    first, second = (sender.encode(LOG, 6, batch()), sender.encode(LOG, 8, batch(previous=6)))
    receiver.decode(LOG, first)
    receiver.decode(LOG, second)
    assert refused(receiver, second) == "replayed"
    assert refused(receiver, first) == "replayed"


@pytest.mark.parametrize("late", [-1, 1])
def test_a_message_from_another_time_is_refused(
    sender: Signer, receiver: Signer, clock: FakeClock, late: int
) -> None:
    message = sender.encode(LOG, 6, batch())
    clock.now_us += late * int((MAX_AGE_SECONDS + 1) * 1e6)
    assert refused(receiver, message) == "stale"


def test_another_log_s_message_is_refused(sender: Signer, receiver: Signer) -> None:
    assert refused(receiver, sender.encode("other", 6, None)) == "foreign"


def test_a_large_commit_is_announced_without_its_events(sender: Signer, receiver: Signer) -> None:
    message = sender.encode(LOG, 6, batch(size=MAX_MESSAGE_BYTES))
    assert len(message) < 500
    assert receiver.decode(LOG, message) == Message(6)


@pytest.mark.promise("redis")
def test_no_altered_bit_is_accepted(sender: Signer, receiver: Signer) -> None:
    message = sender.encode(LOG, 6, batch())
    for bit in random.Random(7).sample(range(len(message) * 8), 500):
        altered = bytearray(message)
        altered[bit // 8] ^= 1 << bit % 8
        assert refused(receiver, bytes(altered)) in {"forged", "unsigned"}
    assert receiver.decode(LOG, message).position == 6


@given(st.binary(max_size=200))
def test_no_invented_bytes_are_accepted_or_fatal(message: bytes) -> None:
    refused(Signer([KEY]), b"\x01" + message)
