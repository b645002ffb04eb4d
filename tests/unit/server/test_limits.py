"""Limits: how many requests a client may have, at once and in a second."""

from __future__ import annotations

from typing import Any

import pytest

from eventstore import ConfigError
from eventstore.server import _limits
from eventstore.server._limits import Limits, Rate
from eventstore.server._problems import HttpError
from eventstore.server.settings import ServerSettings


class Time:
    """A monotonic clock to set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_client_has_its_rate_and_twice_as_much_at_once() -> None:
    time = Time()
    rate = Rate(2.0, time)
    assert [rate.take("a") for _ in range(4)] == [0.0] * 4
    assert rate.take("a") == 0.5
    assert rate.take("b") == 0.0
    time.now = 0.5
    assert [rate.take("a"), rate.take("a")] == [0.0, 0.5]
    time.now = 100.0
    assert [rate.take("a") for _ in range(5)] == [0.0] * 4 + [0.5]


def test_a_rate_below_one_lets_one_request_through() -> None:
    rate = Rate(0.1, Time())
    assert [rate.take("a"), rate.take("a")] == [0.0, 10.0]


def test_clients_beyond_count_are_forgotten_when_they_have_waited(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(_limits, "MOST_CLIENTS", 3)
    time = Time()
    rate = Rate(1.0, time)
    for name in "abc":
        rate.take(name)
    time.now = 1.0
    rate.take("busy")
    rate.take("busy")
    rate.take("d")
    assert rate.take("busy") == 1.0


def test_requests_and_streams_count_until_they_end() -> None:
    limits = Limits(ServerSettings(token_requests=1, streams=2, token_streams=1), Time())
    with limits.request("a"):
        with pytest.raises(HttpError, match="1 requests at once") as refused, limits.request("a"):
            pass
        assert (refused.value.status, refused.value.headers) == (429, {"retry-after": "1"})
        with limits.request("b"):
            pass
    with limits.request("a"):
        pass
    limits.enter_stream("a")
    for client, status in (("a", 429), ("b", None), ("c", 503)):
        if status is None:
            limits.enter_stream(client)
            continue
        with pytest.raises(HttpError) as late:
            limits.enter_stream(client)
        assert late.value.status == status
    limits.leave_stream("a")
    limits.enter_stream("c")


@pytest.mark.parametrize(
    "wrong", [{"rate": 0}, {"max_body": -1}, {"header_seconds": float("nan")}, {"page_max_age": -1}]
)
def test_a_limit_that_lets_nothing_through_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="give a number above 0"):
        ServerSettings(**wrong)
