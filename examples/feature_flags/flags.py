"""What happens to a feature flag, what it is then, and which change is allowed."""

from __future__ import annotations

from hashlib import sha256

from msgspec import Struct

from eventstore import Event, EventTypes
from projections import Fold, handles


class FlagSet(Struct):
    """The flag is on for ``percent`` of the users from here on."""

    percent: int
    by: str
    why: str


class FlagRetired(Struct):
    """The flag is off for all, for good."""

    by: str
    why: str


EVENTS = EventTypes(FlagSet, FlagRetired)
CATEGORY = "flag"


class State(Struct):
    """A flag as its events leave it."""

    percent: int = 0
    retired: bool = False


class Flag(Fold[State]):
    """Computes the state of one flag."""

    name, version = "flag", 1
    event_types = EVENTS

    def initial(self) -> State:
        """Return a flag of which nothing is known: off."""
        return State()

    @handles(FlagSet)
    def set_(self, state: State, event: Event, data: FlagSet) -> State:  # noqa: ARG002
        """Take in that it was set."""
        return State(data.percent)

    @handles(FlagRetired)
    def retired(self, state: State, event: Event, data: FlagRetired) -> State:  # noqa: ARG002
        """Take in that it was retired."""
        return State(0, retired=True)


class RefusedError(Exception):
    """A change that is not allowed."""


def set_to(state: State, change: FlagSet) -> list[FlagSet]:
    """Return the events of a change; none where nothing changes."""
    if not 0 <= change.percent <= 100:
        raise RefusedError(f"{change.percent} is no percentage")
    if state.retired:
        raise RefusedError("the flag is retired: take another name")
    return [] if state.percent == change.percent else [change]


def retire(state: State, change: FlagRetired) -> list[FlagRetired]:
    """Return the events of a retirement; none where it is retired."""
    return [] if state.retired else [change]


def is_on(flag: str, percent: int, user: str) -> bool:
    """Whether a flag is on for a user: always the same for a user, and rising with the percent."""
    place = int.from_bytes(sha256(f"{flag}\0{user}".encode()).digest()[:8]) % 100
    return place < percent
