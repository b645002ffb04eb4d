"""Checks of callers' arguments, before an operation is queued."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, cast

from eventstore import limits
from eventstore.errors import InvalidInputError, LimitExceededError
from eventstore.log.events import (
    ANY,
    END,
    OLDEST,
    STREAM_EXISTS,
    Cursor,
    NewEvent,
    Special,
    StreamWrite,
)
from eventstore.log.names import check_name, check_stream
from eventstore.log.operations import Append, Query, Redact
from eventstore.log.redaction import LOG

if TYPE_CHECKING:
    from collections.abc import Iterable


def _listed(what: str, values: object) -> list[Any]:
    try:
        return list(cast("Iterable[Any]", values))
    except TypeError as error:
        raise InvalidInputError(what, f"{values!r:.80} is no list") from error


OWN_CATEGORIES: Final = {
    LOG: "the log itself, about itself",
    "consumer/": "Subscription.reject",
    "sql/": "SqlStorage, from what a transaction has done",
}
"""Categories whose events are acted on as they are, with the only code that writes them."""


TOKENS: Final = "audit/tokens"
"""The stream of the access tokens; see :mod:`eventstore.server.tokens`."""

OWN_STREAMS: Final = {TOKENS: "'eventstore tokens'"}
"""Streams that give access, with what writes them. Trims keep them whole."""


def check_append(writes: Iterable[StreamWrite], *, own: str = "") -> Append:
    """Return a valid append; raise InvalidInputError or LimitExceededError otherwise.

    Streams of :data:`OWN_CATEGORIES` are refused but for the category ``own``, which their own
    code names, and so are :data:`OWN_STREAMS`.
    """
    checked = [_check_write(write, own) for write in _listed("append", writes)]
    if not checked:
        raise InvalidInputError("append", "has no streams to write to")
    events = checked[0].events
    if len(checked) > 1:
        if len({write.stream for write in checked}) < len(checked):
            reason = "names one stream twice; put its events together"
            raise InvalidInputError("append_many", reason)
        events = [event for write in checked for event in write.events]
    if len(events) > limits.MAX_COMMIT_EVENTS:
        raise LimitExceededError("events of one append", len(events), limits.MAX_COMMIT_EVENTS)
    size = sum([len(event.raw_data) + len(event.raw_metadata) for event in events])
    if size > limits.MAX_COMMIT_BYTES:
        raise LimitExceededError("bytes of one append", size, limits.MAX_COMMIT_BYTES)
    if len(events) > 1 and len({event.raw_id for event in events}) < len(events):
        raise InvalidInputError("append", "brings one event id twice")
    return Append(checked, len(events), size)


def check_redact(position: object, reason: object, by: object) -> Redact:
    """Return a valid redaction; raise InvalidInputError or LimitExceededError otherwise."""
    if type(position) is not int or not 1 <= position < 2**63:
        raise InvalidInputError(f"position={position!r:.40}", "no event is there")
    if not isinstance(reason, str) or not reason.strip():
        raise InvalidInputError("reason", "say why: with the position it is all that stays")
    check_name("reason", reason, limits.MAX_METADATA_BYTES)
    who = None if by is None else check_name("by", by, limits.MAX_CONSUMER_BYTES)
    return Redact(position, reason, who)


def _check_write(write: object, own: str) -> StreamWrite:
    if not isinstance(write, StreamWrite):
        raise InvalidInputError("append_many", f"{write!r:.80} is not a StreamWrite")
    stream = check_stream(write.stream)
    category = stream[: stream.index("/") + 1]
    if category != own and category in OWN_CATEGORIES:
        raise InvalidInputError(
            f"stream {stream!r}",
            f"events of {category} are written by {OWN_CATEGORIES[category]}: name another stream",
        )
    if stream != own and stream in OWN_STREAMS:
        reason = f"its events are written by {OWN_STREAMS[stream]}: name another stream"
        raise InvalidInputError(f"stream {stream!r}", reason)
    expected = write.expected
    valid = expected is ANY or expected is STREAM_EXISTS or type(expected) is int
    if not valid or (isinstance(expected, int) and expected < 0):
        raise InvalidInputError(
            f"expected={expected!r} for {stream!r}",
            "use a version from 0 on, NO_STREAM, STREAM_EXISTS or ANY",
        )
    events = tuple(_listed(f"append to {stream!r}", write.events))
    if not events:
        raise InvalidInputError(f"append to {stream!r}", "has no events")
    for event in events:
        if not isinstance(event, NewEvent):
            raise InvalidInputError(f"append to {stream!r}", f"{event!r:.80} is not a NewEvent")
    return StreamWrite(stream, events, expected)


def check_after(after: object) -> int | Cursor | Special:
    """Return a valid start of a range; raise InvalidInputError otherwise."""
    if isinstance(after, Cursor):
        return check_cursor_fields(after)
    if after is END or after is OLDEST or (type(after) is int and after >= 0):
        return cast("int | Special", after)
    raise InvalidInputError(f"after={after!r:.80}", "use a position from 0 on, a Cursor or END")


def check_cursor_fields(cursor: Cursor) -> Cursor:
    """Return a cursor made of a text, a position and bytes; raise InvalidInputError otherwise."""
    fields = (type(cursor.log_id), type(cursor.position), type(cursor.hash))
    if fields != (str, int, bytes) or cursor.position < 0:
        raise InvalidInputError(f"{cursor!r:.80}", "is no cursor that a log gave out")
    return cursor


def check_streams(streams: object) -> str | None:
    """Return a valid stream filter: a category ending in ``/``, an exact name, or None."""
    if streams is None:
        return None
    if isinstance(streams, str) and streams.endswith("/") and len(streams) > 1:
        return check_name("streams", streams, limits.MAX_STREAM_BYTES)
    return check_stream(streams)


def check_excluded_streams(streams: object) -> tuple[str, ...]:
    """Return valid streams and categories to leave out, in a fixed order; one text is one."""
    if streams is None:
        return ()
    listed = [streams] if isinstance(streams, str) else _listed("exclude_streams", streams)
    if None in listed:
        raise InvalidInputError("exclude_streams", "None is no name of a stream or category")
    names = {str(check_streams(one)) for one in listed}
    if len(names) > limits.MAX_EXCLUDED:
        raise LimitExceededError("exclude_streams", len(names), limits.MAX_EXCLUDED)
    return tuple(sorted(names))


def check_types(
    types: Iterable[str] | None, what: Literal["types", "exclude_types"] = "types"
) -> tuple[str, ...] | None:
    """Return a valid filter by event type, in a fixed order; ``None`` for all."""
    if types is None:
        return None
    if isinstance(types, str):
        raise InvalidInputError(f"{what}={types!r}", "give a set of names, not one text")
    names = [check_name(what, name, limits.MAX_TYPE_BYTES) for name in _listed(what, types)]
    return tuple(sorted(set(names)))


def check_filter(
    streams: object,
    types: Iterable[str] | None,
    exclude_streams: object,
    exclude_types: Iterable[str] | None,
    *,
    kept: bool,
) -> Query:
    """Return a query for the events that all four let through, from the oldest one on."""
    return Query(
        streams=check_streams(streams),
        types=check_types(types),
        exclude_streams=check_excluded_streams(exclude_streams),
        exclude_types=check_types(exclude_types, "exclude_types") or (),
        kept=kept,
        oldest=True,
    )


def check_names(names: Iterable[str]) -> tuple[str, ...]:
    """Return a valid list of consumers' names."""
    if isinstance(names, str):
        raise InvalidInputError(f"consumers={names!r}", "give a list of names, not one text")
    listed = _listed("consumers", names)
    return tuple(check_name("consumer", name, limits.MAX_CONSUMER_BYTES) for name in listed)


def check_report(report: object) -> str:
    """Return what a worker tells, a text; raise LimitExceededError for one that is too long."""
    if not isinstance(report, str) or "\0" in report:
        raise InvalidInputError("report", "give a text without NUL")
    try:
        size = len(report.encode())
    except UnicodeEncodeError as error:
        raise InvalidInputError("report", "cannot be written as UTF-8") from error
    if size > limits.MAX_REPORT_BYTES:
        raise LimitExceededError("report, bytes", size, limits.MAX_REPORT_BYTES)
    return report


def check_shard(shard: object) -> tuple[int, int] | None:
    """Return a valid ``(index, count)``; ``None`` for everything."""
    if shard is None:
        return None
    pair = tuple(shard) if isinstance(shard, list | tuple) else ()
    if len(pair) == 2 and type(pair[0]) is type(pair[1]) is int and 0 <= pair[0] < pair[1]:
        return pair[0], pair[1]
    raise InvalidInputError(f"shard={shard!r:.40}", "use (index, count) with 0 <= index < count")


def check_seconds(what: str, value: object, *, zero: bool = False) -> float:
    """Return a time in seconds: finite, and more than 0 unless ``zero`` may be meant."""
    number = type(value) is int or type(value) is float
    if number and 0 <= value <= limits.MAX_SECONDS and (zero or value > 0):  # type: ignore[operator]
        return cast("float", value)
    least = "from 0 on" if zero else "greater than 0"
    raise InvalidInputError(
        f"{what}={value!r:.40}", f"use a number of seconds {least}, {limits.MAX_SECONDS:,} at most"
    )


def check_limit(limit: object) -> int | None:
    """Return a valid limit on the number of events; ``None`` for no limit."""
    if limit is None or (type(limit) is int and limit >= 0):
        return limit
    raise InvalidInputError(f"limit={limit!r:.40}", "use a number from 0 on, or None")


def check_until(until: object) -> int | None:
    """Return a valid end of a range, a position; ``None`` for the head."""
    if isinstance(until, Cursor):
        return check_cursor_fields(until).position
    if until is None or (type(until) is int and until >= 0):
        return until
    raise InvalidInputError(f"until={until!r:.80}", "use a position from 0 on, or None")
