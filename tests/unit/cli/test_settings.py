"""Settings under which no command can work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.redis import private_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.commands import Run, Running
    from support.redis import RedisServer

    Start = Callable[..., Running]


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Run a server that asks for a password."""
    with private_redis("--requirepass", "secret") as server:
        yield server


@pytest.mark.parametrize(
    ("notify", "key", "said"),
    [
        ("redis://:pass/word@h", "", "percent-encoded"),
        ("redis://h/0?sll_ca_certs=x", "", "its parameter 'sll_ca_certs' is not understood"),
        ("pigeon://h", "", "environment variable EVENTSTORE_NOTIFY"),
        ("redis://h", "short", "a notifier's key is too short"),
    ],
)
def test_settings_that_can_never_work_are_one_line(
    run: Run, notify: str, key: str, said: str
) -> None:
    done = run("status", EVENTSTORE_NOTIFY=notify, EVENTSTORE_NOTIFY_KEY=key)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ")
    assert said in line
    assert "word" not in line.replace("password", "")
