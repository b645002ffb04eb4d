"""What is known of the versions of table projections, as values; no database is needed for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class SetAside:
    """An event that a projection could not apply and has passed over."""

    position: int
    reason: str


@dataclass(frozen=True, slots=True)
class Size:
    """How much a projection's tables hold: ``more`` where not all rows were counted."""

    rows: int
    more: bool
    bytes: int | None
    """What the tables take with their indexes; ``None`` where the database does not know it."""


@dataclass(frozen=True, slots=True)
class ViewVersion:
    """One version of a table projection: the live one, or one that is built beside it."""

    name: str
    version: int
    position: int
    is_build: bool
    is_followed: bool
    """Whether a runner has owned it; of an inline projection none has."""
    failed_at: int | None
    """The event at which a runner has stopped, until one is past it."""
    failure: str | None
    set_aside: tuple[SetAside, ...]
    set_aside_count: int
    tables: tuple[str, ...]
    size: Size | None
    """``None`` for a build, and where it was not asked for."""


@dataclass(frozen=True, slots=True)
class SavedFold:
    """The snapshot of one version of a fold: where the next program that has it begins."""

    name: str
    version: int
    position: int
    bytes: int
    is_of_log: bool
    """Whether it was computed from the log beside which it is: otherwise it is not used."""


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at the log's database has found; ``seconds`` are those of a monotonic clock."""

    head: int
    views: Sequence[ViewVersion]
    seconds: float
    folds: Sequence[SavedFold] = ()


class ElsewhereView(msgspec.Struct, frozen=True):
    """A projection in another database, as its runner has told the log of it."""

    projection: str
    place: str
    """What messages call the database, without a password."""
    url: str
    """Names the database from any directory, with the schema, but without user and password."""
    schema: str
    owner: str
    """The process that told it: ``HOST:PID``."""
    versions: list[ViewVersion]
    """The live version, and those that are built beside it; none before the first event."""
    told_us: int = 0
