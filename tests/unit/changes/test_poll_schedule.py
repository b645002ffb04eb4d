"""When a process polls next."""

from __future__ import annotations

from eventstore.changes._poll_schedule import PollSchedule


def test_a_heartbeat_postpones_a_poll() -> None:
    now = 100.0
    schedule = PollSchedule(1.0, lambda: now)
    assert 0.9 <= schedule.remaining() <= 1.0
    for _ in range(14):
        now += 0.7
        schedule.heartbeat()
        assert 0.7 <= schedule.remaining() <= 1.0
    now += schedule.remaining()
    assert schedule.log_read()
    assert 0.75 <= schedule.remaining() <= 0.85
    for _ in range(22):
        now += 0.7
        schedule.heartbeat()
    # Heartbeats postpone it for a limited time, and a read that verifies them sends none.
    assert schedule.remaining() == 0
    assert not schedule.log_read()
    assert schedule.remaining() > 0
