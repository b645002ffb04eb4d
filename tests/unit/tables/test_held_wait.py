"""How long a swap or a drop waits for readers, and what it says meanwhile."""

from __future__ import annotations

import pickle

import pytest

from eventstore import ProjectionHeldError
from eventstore.storage.held_wait import SAY_SECONDS, TRIES, TRY_SECONDS, HeldWait


def test_tries_become_longer_and_the_wait_ends_with_the_holders(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = [100.0]
    wait = HeldWait("totals", 10.0, lambda: now[0])
    patiences = []

    def wait_on() -> None:
        while True:
            patiences.append(wait.patience)
            now[0] += wait.patience
            now[0] += wait.pause([7, 9])

    with pytest.raises(ProjectionHeldError, match=r"totals.*process 7, 9 of the server") as caught:
        wait_on()
    assert patiences[: TRIES + 1] == [TRY_SECONDS] * TRIES + [2 * TRY_SECONDS]
    assert now[0] - 100 <= 10 + TRY_SECONDS * 4
    error = pickle.loads(pickle.dumps(caught.value))
    assert (error.projection, error.pids, error.timed_out) == ("totals", (7, 9), True)
    said = [record for record in caplog.records if "7, 9" in record.message]
    assert len(said) == 2, "once after a second, once after four"
    assert SAY_SECONDS == 1.0


def test_a_wait_without_a_limit_ends_by_no_error() -> None:
    now = [0.0]
    wait = HeldWait("totals", None, lambda: now[0])
    for _ in range(50):
        now[0] += wait.pause([])
    assert now[0] > 10
