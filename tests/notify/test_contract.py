"""Every notifier that sends anything keeps what the protocol promises."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.redis import shared_redis

from eventstore.notify.notifiers import make_notifier as make
from eventstore.testing.notifiers import NotifierContract

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.postgres import Server

    from eventstore.notify.protocol import Notifier

KEYS = ["a key of sixteen bytes or more"]


class TestEveryNotifier(NotifierContract):
    @pytest.fixture(
        params=[
            "file",
            *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("postgres", "redis")),
        ]
    )
    def make_notifier(
        self, request: pytest.FixtureRequest, tmp_path: Path
    ) -> Callable[[], Notifier]:
        notify, url, keys = request.param, "sqlite:///events.db", KEYS
        if notify == "postgres":
            server: Server = request.getfixturevalue("postgres")
            url = server.url()
        elif notify == "redis":
            notify = shared_redis().url
        return lambda: make(notify, url, tmp_path / "events.db", keys)
