"""What every notifier promises: a suite for those who write one."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Final, TypeAlias

import pytest

from eventstore.notify.protocol import LogIdentity

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from eventstore.notify.protocol import Notifier, Wake

LOG: Final = LogIdentity("11111111-1111-4111-8111-111111111111")
GIVE_UP_SECONDS: Final = 60.0
"""Far above what a wake-up takes anywhere."""


Start: TypeAlias = "Callable[[Wake], Notifier]"
"""Makes a notifier and starts it; the suite closes it."""


class _Wakes:
    """Counts wake-ups, and waits for them."""

    def __init__(self) -> None:
        self.positions: list[int | None] = []
        self._changed = threading.Condition()

    def __call__(self, position: int | None = None, batch: object = None) -> None:  # noqa: ARG002
        with self._changed:
            self.positions.append(position)
            self._changed.notify_all()

    def until(self, more_than: int, again: Callable[[], None]) -> None:
        """Return once there are more wake-ups; call ``again`` meanwhile: one may be lost."""
        end = time.monotonic() + GIVE_UP_SECONDS
        with self._changed:
            while len(self.positions) <= more_than:
                assert time.monotonic() < end, "no wake-up came"  # noqa: S101
                again()
                self._changed.wait(0.2)


class NotifierContract:
    """Subclass it as ``class TestMine(NotifierContract)``, with a fixture ``make_notifier``.

    The fixture gives a function that makes a notifier each time: all of one log, each as another
    process would make it.
    """

    @pytest.fixture
    def make_notifier(self) -> Callable[[], Notifier]:
        """Give what makes a notifier: to be overridden."""
        raise NotImplementedError("override the fixture make_notifier")

    @pytest.fixture
    def start(self, make_notifier: Callable[[], Notifier]) -> Iterator[Start]:
        """Give what makes and starts a notifier; close all of them at the end."""
        made: list[Notifier] = []

        def begin(wake: Wake) -> Notifier:
            made.append(make_notifier())
            made[-1].start(LOG, wake)
            return made[-1]

        yield begin
        for notifier in made:
            notifier.close()

    def test_what_one_process_publishes_wakes_another(self, start: Start) -> None:
        """A wake-up has the position that was published, or none."""
        wakes = _Wakes()
        start(wakes)
        writer = start(_Wakes())
        for position in (1, 2):
            before = len(wakes.positions)
            wakes.until(before, lambda: writer.publish(LOG, position, None))  # noqa: B023
        assert set(wakes.positions) <= {None, 1, 2}  # noqa: S101

    def test_nothing_is_woken_once_it_is_closed(
        self, start: Start, make_notifier: Callable[[], Notifier]
    ) -> None:
        """Closing ends the wake-ups, also while others publish."""
        closed, open_ = _Wakes(), _Wakes()
        first = make_notifier()
        first.start(LOG, closed)
        start(open_)
        writer = start(_Wakes())
        first.close()
        before = len(closed.positions)
        open_.until(len(open_.positions), lambda: writer.publish(LOG, 1, None))
        assert len(closed.positions) == before  # noqa: S101

    def test_hints_never_raise(self, start: Start) -> None:
        """Publishing and confirming return, also positions that are older or repeated."""
        notifier = start(_Wakes())
        for position in (5, 5, 1, 2**62):
            notifier.publish(LOG, position, None)
            notifier.confirm(LOG, position)

    def test_one_that_was_never_started_can_be_closed(
        self, make_notifier: Callable[[], Notifier]
    ) -> None:
        """A store that cannot be opened closes what it has made."""
        notifier = make_notifier()
        assert isinstance(notifier.describe(), dict)  # noqa: S101
        notifier.close()

    def test_it_describes_itself_in_texts_and_numbers(self, start: Start) -> None:
        """``status`` shows the facts; ``notifier`` is the kind."""
        facts = start(_Wakes()).describe()
        assert facts["notifier"]  # noqa: S101
        assert {type(value) for value in facts.values()} <= {str, int}  # noqa: S101
