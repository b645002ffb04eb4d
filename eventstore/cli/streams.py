"""``append``, ``show``, ``streams`` and ``init``: events of any type, and the log itself."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any

import anyio
import typer

from eventstore.cli.contributions import contributions
from eventstore.cli.event_lines import UNREADABLE, describe, show_event
from eventstore.cli.json_text import to_json
from eventstore.cli.moments import At
from eventstore.cli.output import binary_stdin, write_warning
from eventstore.cli.session import Session
from eventstore.cli.stream_keys import Stream, read_named
from eventstore.cli.times import show_time
from eventstore.errors import InvalidInputError, NoLogError
from eventstore.limits import MAX_EVENT_BYTES
from eventstore.log.clock import from_microseconds
from eventstore.log.events import ANY, NO_STREAM, STREAM_EXISTS, NewEvent, StreamWrite
from eventstore.log.validation import check_append

if TYPE_CHECKING:
    from eventstore.log.events import Event, Expected
    from eventstore.log.operations import Head, StreamState
    from eventstore.store.event_store import EventStore

EXPECTED: dict[str, Expected] = {"any": ANY, "no-stream": NO_STREAM, "exists": STREAM_EXISTS}
"""The words of ``--expected``; a number is a version."""

VERSION_DIGITS = 20
"""More digits than a version can have."""


async def append(
    session: Session,
    stream: Annotated[str, typer.Argument(help="The stream, such as order/17.")],
    type: Annotated[str, typer.Argument(help="The event's type, such as Placed.")],  # noqa: A002
    data: Annotated[str, typer.Argument(help="The event's data as JSON; - reads stdin.")] = "{}",
    *,
    expected: Annotated[
        str,
        typer.Option(help="The version the stream must have: a number, no-stream, exists or any."),
    ] = "any",
    id: Annotated[  # noqa: A002 - the word that users write
        str | None,
        typer.Option(help="The event's id; appending an equal event again stores nothing."),
    ] = None,
) -> None:
    """Append one event to a stream; it is durable when the command ends."""
    wanted = _parse_expected(expected)
    text = data if data != "-" else await anyio.to_thread.run_sync(_read_stdin)
    event = NewEvent(type, _parse_data(text), id=id)
    check_append([StreamWrite(stream, [event], wanted)])  # Before a log is made for it.
    async with session.open_store(create=True) as store:
        done = await store.append(stream, [event], expected=wanted)
    _warn_of_packages(stream, type)
    again = " (it was there already: nothing was stored)" if done.duplicate else ""
    session.output.value(
        {
            "stream": stream,
            "version": done.version,
            "position": done.position,
            "duplicate": done.duplicate,
        },
        f"{stream} is at version {done.version}, position {done.position}{again}",
    )


def _warn_of_packages(stream: str, type_: str) -> None:
    """Warn of an event that an installed package writes and acts on: its data was not checked."""
    category = stream.partition("/")[0] + "/"
    if (found := contributions().event_lines.get((type_, category))) is not None:
        write_warning(
            f"{type_} in {category} is an event of {found.distribution!r}: its readers act on it, "
            "and only its own commands check what they write"
        )


def _parse_expected(text: str) -> Expected:
    if text in EXPECTED:
        return EXPECTED[text]
    if text.isascii() and text.isdecimal() and len(text) < VERSION_DIGITS:
        return int(text)
    words = ", ".join(EXPECTED)
    raise typer.BadParameter(f"--expected {text!r} is neither a version nor one of {words}")


def _read_stdin() -> str:
    content = binary_stdin().read(MAX_EVENT_BYTES * 8)
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise InvalidInputError("DATA on stdin", f"is not UTF-8: {error}") from error


def _parse_data(text: str) -> Any:
    """Decode JSON; refuse what Python reads beyond it, and names that occur twice."""
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("DATA", f"is no JSON: {error}") from error


def _refuse(word: str) -> None:
    raise ValueError(f"{word} is no number of JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has two members of one name")
    return found


async def show(session: Session, stream: Stream, *, at: At = None) -> None:
    """Show what a stream is, now or then: its version and its last event, with all of its data."""
    advice = "'eventstore streams' lists the streams"
    for event in await read_named(session, stream, advice, at=at, backwards=True, limit=1):
        _show_event(session, event)


def _show_event(session: Session, event: Event) -> None:
    output = session.output
    if output.json:
        show_event(output, event)
        return
    output.facts(
        [
            ("stream", event.stream),
            ("version", event.version),
            ("changed", show_time(event.recorded_at)),
            ("position", event.position),
            ("type", event.type),
            ("id", event.id),
            ("metadata", to_json(event.metadata).decode()),
            ("meaning", describe(event).lstrip().split("  ", 2)[2]),
        ]
    )
    try:
        shown = "(redacted)" if event.redacted else to_json(event.data).decode()
    except UNREADABLE as error:
        shown = str(error)
    output.facts([("data", shown)])


async def streams(
    session: Session,
    prefix: Annotated[str, typer.Argument(help="Only streams whose names begin so.")] = "",
) -> None:
    """List streams with their versions and last changes."""
    found = []
    async with session.open_store() as store:
        async for stream in store.streams(prefix):
            session.output.value(_stream_values(stream), None)
            found += [] if session.output.json else [stream]
    if found:
        columns = ("stream", "version", "changed", "position", "type")
        session.output.table(columns, [_stream_row(stream) for stream in found])
    elif not session.output.json:
        session.output.note(f"no stream begins with {prefix!r}" if prefix else "no streams yet")


def _stream_values(stream: StreamState) -> dict[str, Any]:
    changed = stream.recorded_us
    return {
        "stream": stream.name,
        "version": stream.version,
        "position": stream.position,
        "type": stream.type,
        "recorded_at": from_microseconds(changed).isoformat() if changed is not None else None,
    }


def _stream_row(stream: StreamState) -> tuple[str, ...]:
    if stream.position is None or stream.recorded_us is None:
        return stream.name, str(stream.version), "trimmed", "", ""
    changed = show_time(from_microseconds(stream.recorded_us))
    return stream.name, str(stream.version), changed, str(stream.position), stream.type or ""


async def init(
    session: Session,
    *,
    new_incarnation: Annotated[
        bool,
        typer.Option(
            "--new-incarnation",
            help="Tell a log that was copied by other means than backup apart from its original.",
        ),
    ] = False,
) -> None:
    """Create the log, empty; say so where it is there already, and leave it as it is."""
    if new_incarnation:
        async with session.open_store() as store:
            incarnation = await store.renew_incarnation()
            position = (await store.head()).position
        session.output.value(
            {"url": store.url, "position": position, "incarnation": incarnation},
            f"{store.url} has a new incarnation: restart the programs that use it",
        )
        return
    created = False
    try:
        url, head = await _look(session.open_store())
    except NoLogError:
        created = True
        url, head = await _look(session.open_store(create=True))
    session.output.value(
        {"url": url, "log_id": head.log_id, "position": head.position, "created": created},
        f"{url} is ready: an empty log"
        if created
        else f"{url} is there already, at position {head.position}",
    )


async def _look(opening: EventStore) -> tuple[str, Head]:
    async with opening as store:
        return store.url, await store.head()
