"""An append's own checks, applied to what is stored or brought by an archive.

The chain of hashes says that a history is one piece, and nothing of its values: a program that can
compute a hash can bind any value to it. Every field here may be of any type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from eventstore import limits
from eventstore.errors import InvalidInputError, LimitExceededError
from eventstore.log import hash_chain as chain
from eventstore.log._exact_json import check_encoded
from eventstore.log.event_ids import check_packed
from eventstore.log.events import BYTES_CONTENT, JSON_CONTENT
from eventstore.log.names import check_name, check_stream, check_type

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.log.operations import Head
    from eventstore.log.records import (
        ConsumerRecord,
        EventRecord,
        KeptRecord,
        LogRecord,
        StreamRecord,
    )

MAX_NUMBER: Final = 2**63 - 1
"""The largest number that a column of the log can hold."""


class ValueFault(NamedTuple):
    """A field, and what is wrong with its value."""

    field: str
    what: str

    def __str__(self) -> str:
        return f"{self.field} {self.what}"


def event_faults(row: EventRecord | KeptRecord) -> list[ValueFault]:
    """Return what an append would not have stored in this row."""
    found: list[ValueFault] = []
    _note(found, "stream", check_stream, row.stream)
    _note(found, "type", check_type, row.type)
    _note(found, "id", check_packed, row.id)
    _note(found, "recorded_at", check_time, row.recorded_us)
    for field, number in ("position", row.position), ("version", row.version):
        _note(found, field, _check_number, number)
    _note(found, "commit", _check_number, row.commit)
    for field, value in ("digest", row.digest), ("hash", row.hash):
        _note(found, field, _check_hash, value)
    return found + _content_faults(row)


def _content_faults(row: EventRecord | KeptRecord) -> list[ValueFault]:
    found: list[ValueFault] = []
    if type(row.content) is not int or row.content not in (JSON_CONTENT, BYTES_CONTENT):
        found.append(ValueFault("content", f"{row.content!r:.40} is no known kind"))
    if row.data is not None:
        _note(found, "data", _check_data, row)
    if row.metadata:
        _note(found, "metadata", _check_metadata, row)
    if row.salt is not None and (type(row.salt) is not bytes or len(row.salt) != chain.SALT_BYTES):
        found.append(ValueFault("salt", f"is not {chain.SALT_BYTES} bytes"))
    return found


def _check_data(row: EventRecord | KeptRecord) -> None:
    raw = _bytes(row.data, limits.MAX_EVENT_BYTES)
    if row.content == JSON_CONTENT:
        check_encoded(raw)


def _check_metadata(row: EventRecord | KeptRecord) -> None:
    if type(check_encoded(_bytes(row.metadata, limits.MAX_METADATA_BYTES))) is not dict:
        raise InvalidInputError("metadata", "is no JSON object")


def _bytes(value: object, limit: int) -> bytes:
    if type(value) is not bytes:
        raise InvalidInputError("content", f"is {type(value).__name__}, not bytes")
    if len(value) > limit:
        raise LimitExceededError("bytes", len(value), limit)
    return value


def stream_faults(stream: StreamRecord) -> list[ValueFault]:
    """Return what is no stream that an append could have made."""
    found: list[ValueFault] = []
    _note(found, "name", check_stream, stream.name)
    _note(found, "version", _check_number, stream.version)
    return found


def consumer_faults(consumer: ConsumerRecord) -> list[ValueFault]:
    """Return what is no consumer that a subscription could have made."""
    found: list[ValueFault] = []
    _note(found, "name", _check_consumer, consumer.name)
    _note(found, "position", _check_position, consumer.position)
    if consumer.hash != b"":  # That of an event which was not kept.
        _note(found, "hash", _check_hash, consumer.hash)
    _note(found, "epoch", _check_number, consumer.epoch)
    _note(found, "owner", _check_owner, consumer.owner)
    _note(found, "seen_us", check_time, consumer.seen_us)
    return found


def head_faults(head: Head | LogRecord) -> list[ValueFault]:
    """Return what is no head that a log could have."""
    found: list[ValueFault] = []
    _note(found, "log_id", _check_log_id, head.log_id)
    _note(found, "first_position", _check_number, head.first_position)
    _note(found, "position", _check_position, head.position)
    _note(found, "recorded_at", check_time, head.recorded_us)
    _note(found, "hash", _check_hash, head.hash)
    if head.base_hash is not None:
        _note(found, "base_hash", _check_hash, head.base_hash)
    return found


def _note(
    found: list[ValueFault], field: str, check: Callable[[Any], object], value: object
) -> None:
    try:
        check(value)
    except InvalidInputError as error:
        found.append(ValueFault(field, error.reason))


def check_time(value: object) -> int:
    """Return a time that can be shown; raise InvalidInputError otherwise."""
    if type(value) is int and 0 <= value <= limits.MAX_TIME_US:
        return value
    raise InvalidInputError("time", f"{value!r:.40} is no time between the years 1970 and 9999")


def _check_number(value: object) -> None:
    if type(value) is not int or not 1 <= value <= MAX_NUMBER:
        raise InvalidInputError("number", f"{value!r:.40} is no number from 1 on")


def _check_position(value: object) -> None:
    if type(value) is not int or not 0 <= value <= MAX_NUMBER:
        raise InvalidInputError("position", f"{value!r:.40} is no position")


def _check_hash(value: object) -> None:
    if type(value) is not bytes or len(value) != chain.DIGEST_BYTES:
        raise InvalidInputError("hash", f"is not {chain.DIGEST_BYTES} bytes")


def _check_consumer(value: object) -> None:
    check_name("consumer", value, limits.MAX_CONSUMER_BYTES)


def _check_owner(value: object) -> None:
    if value != "":
        check_name("owner", value, limits.MAX_STREAM_BYTES)


def _check_log_id(value: object) -> None:
    if ":" in check_name("log id", value, limits.MAX_ID_BYTES):
        raise InvalidInputError("log id", "has a colon, which divides the parts of a cursor")
