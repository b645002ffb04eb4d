"""Acknowledging in any order: the checkpoint stays before the oldest event that is not done."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import Cursor, InvalidInputError
from eventstore.changes._ack_window import AckWindow

pytestmark = pytest.mark.unit


def at(position: int) -> Cursor:
    return Cursor("log", position, b"")


def reached(window: AckWindow) -> int:
    return 0 if window.reached is None else window.reached.position


def test_the_checkpoint_stays_before_the_oldest_that_is_not_done() -> None:
    window = AckWindow()
    for position in (1, 2, 3):
        window.give(at(position))
    window.mark_done(at(3))
    window.mark_done(at(2))
    assert reached(window) == 0
    window.mark_done(at(1))
    assert reached(window) == 3
    window.mark_done(at(2))
    assert reached(window) == 3


def test_what_was_passed_over_is_done_with_what_is_before_it() -> None:
    window = AckWindow()
    window.pass_over(at(4))
    assert reached(window) == 4
    window.give(at(5))
    window.pass_over(at(8))
    window.pass_over(at(9))
    assert reached(window) == 4
    window.mark_done(at(5))
    assert reached(window) == 9


def test_an_event_that_was_not_given_out_is_refused() -> None:
    window = AckWindow()
    window.give(at(1))
    with pytest.raises(InvalidInputError, match="has come to 1 only"):
        window.mark_done(at(2))
    assert reached(window) == 0


@given(st.lists(st.booleans(), max_size=30), st.randoms(use_true_random=False))
def test_in_any_order_no_event_that_is_not_done_is_passed(
    matching: list[bool], random: Random
) -> None:
    """Compared with a plain reckoning after each step."""
    window, given_out, done = AckWindow(), [], set()
    for position, matches in enumerate(matching, 1):
        if matches:
            window.give(at(position))
            given_out.append(position)
        else:
            window.pass_over(at(position))
        if given_out and random.random() < 0.6:
            one = random.choice(given_out)
            window.mark_done(at(one))
            done.add(one)
        waiting = [one for one in given_out if one not in done]
        assert reached(window) == (waiting[0] - 1 if waiting else position)
    window.mark_all_done()
    assert reached(window) == len(matching)
