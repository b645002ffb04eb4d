"""Which version of a rule, and of its state, is in force: the last good one.

An event that cannot be used leaves what stood before it. A definition or a state that is
redacted later counts, at its own place in the log, as a removal or as the default; it is in
force unless a later good event stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from projections.rules.fold import (
    Defined,
    Erased,
    Removed,
    StateErased,
    StateSet,
    read_event,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from eventstore.log.events import Event
    from projections.rules.fold import Standing

V = TypeVar("V")


class Version(NamedTuple, Generic[V]):
    """The last good event of a stream: where it is, and what it says."""

    position: int
    says: V


class LastGood(Generic[V]):
    """The last good version of every rule and of every rule's state, by stream.

    Events are applied in the order of the log. ``keep`` turns what an event says into what is
    held of it.
    """

    def __init__(self, keep: Callable[[Standing], V]) -> None:
        self.versions: dict[str, Version[V]] = {}
        self._keep = keep

    def apply(self, event: Event) -> None:
        """Take one event in; an event that cannot be used changes nothing."""
        match read_event(event):
            case Defined() | Removed() | StateSet() | StateErased() as says:
                self.versions[event.stream] = Version(event.position, self._keep(says))
            case Erased(stream=stream, position=position, instead=instead) as erased:
                known = self.versions.get(stream)
                if instead is not None and is_in_force(
                    erased, None if known is None else known.position
                ):
                    self.versions[stream] = Version(position, self._keep(instead))


def last_good_of(events: Sequence[Event]) -> dict[str, tuple[Event, Standing]]:
    """Return the last good event of each stream, with what it says, of events in order.

    They are no redactions. Only what may be the last is read.
    """
    found: dict[str, tuple[Event, Standing]] = {}
    for event in reversed(events):
        if event.stream not in found:
            says = read_event(event)
            if isinstance(says, Defined | Removed | StateSet | StateErased):
                found[event.stream] = (event, says)
    return found


def is_in_force(erased: Erased, standing: int | None) -> bool:
    """Return whether a redacted event is in force, with what it says instead.

    ``standing`` is the position of the last good event of its stream, None without one.
    """
    return erased.instead is not None and (standing is None or standing <= erased.position)


def is_good(event: Event) -> bool:
    """Return whether an event can be in force: it is usable, and about a rule or its state."""
    return isinstance(read_event(event), Defined | Removed | StateSet | StateErased)
