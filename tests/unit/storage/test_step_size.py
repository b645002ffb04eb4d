"""The sizes of steps that bring a projection up, by injected clocks."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from eventstore.storage import _step_size
from eventstore.storage._step_size import FIRST_STEP, STEP_SECONDS, StepSize


@pytest.mark.parametrize(
    ("seconds", "cpu", "share"),
    [
        pytest.param(STEP_SECONDS / 4, STEP_SECONDS / 4, 2, id="fast-doubles-at-the-most"),
        pytest.param(2 * STEP_SECONDS, 2 * STEP_SECONDS, 0.5, id="slow-shrinks"),
        pytest.param(10 * STEP_SECONDS, 0.004, 0.4, id="other-work-has-the-processor"),
        pytest.param(2 * STEP_SECONDS, 0.004, 1, id="useful-as-it-is"),
        pytest.param(10 * STEP_SECONDS, 0.0, 0.4, id="a-handler-that-waits"),
    ],
)
def test_a_step_is_as_long_as_it_may_be_and_not_too_short_to_be_of_use(
    monkeypatch: pytest.MonkeyPatch, seconds: float, cpu: float, share: float
) -> None:
    wall, used = iter([5.0, 5.0 + seconds]), iter([1.0, 1.0 + cpu])
    clocks = SimpleNamespace(monotonic=lambda: next(wall), thread_time=lambda: next(used))
    monkeypatch.setattr(_step_size, "time", clocks)
    size = StepSize()
    size.begin()
    size.adapt(FIRST_STEP)
    assert size.seconds == pytest.approx(seconds)
    assert size.events == pytest.approx(share * FIRST_STEP, abs=1)


def test_a_longer_step_leaves_no_more_to_the_last_transaction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rests = []
    for aim in (STEP_SECONDS, 10 * STEP_SECONDS):
        wall, used = iter([5.0, 5.0 + aim]), iter([1.0, 1.0 + aim])
        clocks = SimpleNamespace(monotonic=wall.__next__, thread_time=used.__next__)
        monkeypatch.setattr(_step_size, "time", clocks)
        size = StepSize(aim)
        size.begin()
        size.adapt(FIRST_STEP)
        assert size.events == pytest.approx(FIRST_STEP, abs=1)
        rests.append(size.rest())
    assert rests[0] == pytest.approx(2 * FIRST_STEP, abs=2)
    assert rests[1] == pytest.approx(2 * FIRST_STEP / 10, abs=2)
