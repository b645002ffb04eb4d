"""The keywords of opening a store and of following one, for each way to use it.

:class:`eventstore.EventStore` says what they mean, and has the defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from eventstore.log.clock import Clock
    from eventstore.log.events import Cursor, Special
    from eventstore.log.inline_projection import InlineProjection
    from eventstore.log.inline_view import OnNewerView
    from eventstore.log.upcasting import Upcasters


class OpenOptions(TypedDict, total=False):
    """The keywords of ``EventStore.open``."""

    notify: str
    inline: Sequence[InlineProjection]
    clock: Clock
    poll: float
    create: bool
    upcasters: Upcasters | None
    notify_keys: Sequence[str] | None
    write_wait: float | None
    on_newer_view: OnNewerView


class FollowOptions(TypedDict, total=False):
    """The keywords of ``EventStore.subscribe_changes``."""

    after: int | Cursor | Special
    streams: str | None
    types: Iterable[str] | None
    exclude_streams: str | Iterable[str] | None
    exclude_types: Iterable[str] | None
    consumer: str | None
    follow: bool
    shard: tuple[int, int] | None
    kept: bool
    explicit_ack: bool
