"""The events of the registry: their names, their data, and how they are decoded.

===================  ===========  ==========================================================
type                 stream       data
===================  ===========  ==========================================================
``BotRegistered``    ``bot/KEY``  ``bot_id, config, status, metadata``
``BotDeactivated``   ``bot/KEY``  ``bot_id``
``BotUnregistered``  ``bot/KEY``  ``bot_id``
===================  ===========  ==========================================================

KEY is the id, with what a stream's name may not hold percent-encoded. Any other event, and one
whose data is not as above, is ignored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from eventstore.log.redaction import EVENT_REDACTED, read_redaction
from projections.registry.model import RegistryChange, Status
from projections.seams.changes import writer_of
from projections.seams.stream_keys import read_stream_key, stream_key

if TYPE_CHECKING:
    from eventstore import Event
    from projections.registry.model import ChangeKind

BOT_REGISTERED: Final = "BotRegistered"
BOT_DEACTIVATED: Final = "BotDeactivated"
BOT_UNREGISTERED: Final = "BotUnregistered"
TYPES: Final = frozenset({BOT_REGISTERED, BOT_DEACTIVATED, BOT_UNREGISTERED, EVENT_REDACTED})
"""The types that a subscriber to the registry needs."""

BOTS: Final = "bot/"


class Registered(msgspec.Struct):
    """The data of ``BotRegistered``."""

    bot_id: str
    config: dict[str, Any]
    status: Status
    metadata: dict[str, Any]


_DECODER: Final = msgspec.json.Decoder(Registered)
_KINDS: Final[dict[str, ChangeKind]] = {
    BOT_DEACTIVATED: "deactivated",
    BOT_UNREGISTERED: "unregistered",
}


def bot_stream(bot_id: object) -> str:
    """Return the stream of a bot; raise InvalidInputError for what cannot be an id."""
    return BOTS + stream_key(bot_id, "bot_id")


def read_bot_id(stream: str) -> str:
    """Undo :func:`bot_stream`."""
    return read_stream_key(stream.removeprefix(BOTS))


def ends_registration(event: Event) -> bool:
    """Whether an event removes a bot; a registration without its content does so too."""
    return event.type == BOT_UNREGISTERED or (event.redacted and event.type == BOT_REGISTERED)


def read_registered(event: Event) -> Registered | None:
    """Return the registration that an event holds; ``None`` for any other event."""
    if event.type != BOT_REGISTERED or event.raw_data is None:
        return None
    try:
        found = _DECODER.decode(event.raw_data)
    except ValueError:
        return None
    return found if found.bot_id and event.stream == bot_stream(found.bot_id) else None


def read_change(event: Event) -> RegistryChange | None:
    """Return the change that an event makes to the registry; ``None`` for none."""
    stream, kind = event.stream, _KINDS.get(event.type)
    found = None
    if (redaction := read_redaction(event)) is not None:
        stream, kind = redaction.stream, "redacted"
    elif event.type == BOT_REGISTERED:
        found = read_registered(event)
        kind = "registered" if found else "redacted" if event.redacted else None
    if kind is None or not stream.startswith(BOTS):
        return None
    return RegistryChange(
        kind,
        read_bot_id(stream),
        found.config if found else None,
        found.status if found else None,
        found.metadata if found else None,
        event.position,
        event.recorded_at,
        writer_of(event),
    )
