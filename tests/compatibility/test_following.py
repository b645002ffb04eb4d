"""Wake-ups that one version sends and the other one receives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.redis import shared_redis

from eventstore import EventStore

from .versions import DEADLINE

if TYPE_CHECKING:
    from .conftest import Pair

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]

KEY = "a shared key of 30 characters."
ROUNDS = 5


def deliver(pair: Pair, url: str, **how: Any) -> dict[str, Any]:
    """Append by the first version, one by one; return what the follower counted meanwhile.

    The follower looks by itself only after two minutes, so each event was announced to it.
    """
    appended = {"url": url, "stream": "count/1", "events": [{"type": "Counted", "data": 1}], **how}
    pair.first.call("append", **appended)
    pair.second.call("follow", name="f", url=url, **how)
    try:
        assert pair.second.call("take", name="f") == [1, "Counted"]
        for number in range(ROUNDS):
            coming = pair.second.begin("take", name="f")
            pair.first.call("append", **appended)
            assert coming.result(DEADLINE) == [number + 2, "Counted"]
        facts: dict[str, Any] = pair.second.call("facts", name="f")
        return facts
    finally:
        pair.second.call("unfollow", name="f")


@pytest.fixture
def redis_url() -> str:
    """Name a Redis that tests share."""
    server = shared_redis()
    with server.client() as client:
        client.flushall()
    return server.url


def test_the_database_s_own_notifier_wakes_the_other_version(pair: Pair, url: str) -> None:
    notifier = "file" if url.startswith("sqlite") else "postgres"
    assert deliver(pair, url)["notifier"] == notifier


def test_redis_without_a_key_wakes_the_other_version(pair: Pair, url: str, redis_url: str) -> None:
    facts = deliver(pair, url, notify=redis_url)
    assert facts["messages_hints"] >= 1
    assert facts.get("messages_news", 0) == 0


def test_redis_with_a_key_brings_the_events_to_the_other_version(
    pair: Pair, url: str, redis_url: str
) -> None:
    facts = deliver(pair, url, notify=redis_url, notify_keys=[KEY])
    assert facts["messages_news"] >= 1
    assert facts.get("messages_forged", 0) == facts.get("messages_malformed", 0) == 0


def test_redis_with_another_key_is_believed_by_neither(
    pair: Pair, url: str, redis_url: str
) -> None:
    pair.first.call("append_often", url=url, stream="count/1", count=1)
    pair.second.call("follow", name="g", url=url, notify=redis_url, notify_keys=[KEY])
    try:
        assert pair.second.call("take", name="g") == [1, "Counted"]
        refused = 0
        while not refused:
            pair.first.call(
                "append",
                url=url,
                stream="count/1",
                events=[{"type": "Counted", "data": 1}],
                notify=redis_url,
                notify_keys=[KEY[::-1]],
            )
            facts = pair.second.call("facts", name="g")
            refused = facts.get("messages_forged", 0)
        assert facts.get("messages_news", 0) == 0
    finally:
        pair.second.call("unfollow", name="g")


@pytest.mark.parametrize("how", ["itself", "unsigned", "signed"])
def test_the_versions_wake_each_other_on_a_log_that_is_a_copy(
    pair: Pair, url: str, redis_url: str, how: str
) -> None:
    async def renew() -> None:
        async with EventStore.open(url) as store:
            await store.renew_incarnation()

    anyio.run(renew)
    options: dict[str, dict[str, Any]] = {
        "itself": {},
        "unsigned": {"notify": redis_url},
        "signed": {"notify": redis_url, "notify_keys": [KEY]},
    }
    facts = deliver(pair, url, **options[how])
    assert facts.get("messages_forged", 0) == facts.get("messages_malformed", 0) == 0
