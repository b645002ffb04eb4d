"""Who may use the Redis: over TLS, and as a user who may do exactly what is needed."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import anyio
import pytest
import trustme
from support.commands import REPOSITORY
from support.logs import positions, some
from support.network import HOST
from support.redis import private_redis
from support.tls import tls_in_front
from support.waiting import DEADLINE, eventually, take

from eventstore import END, ConfigError, EventStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from support.redis import RedisServer

    from eventstore import Subscription

pytestmark = pytest.mark.anyio

Keys = list[str]
KEY = "the key that the fleet shares"
PASSWORD = "p@ss/word?#%"
QUIET = 3600.0
"""A poll that no test waits for: an event that arrives is due to a wake-up."""
SOON = 0.05


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    """Run a server whose users the tests change."""
    with private_redis() as server:
        yield server


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def tls_port(redis: RedisServer, authority: trustme.CA) -> Iterator[int]:
    with tls_in_front(redis.port, authority.issue_cert(HOST)) as port:
        yield port


@asynccontextmanager
async def pair(
    path: Path, notify: str, poll: float, keys: tuple[Keys, Keys] = ([KEY], [KEY])
) -> AsyncIterator[tuple[EventStore, EventStore, Subscription]]:
    """Open a writer and a follower that has caught up with an empty log."""
    url = f"sqlite:///{path}/events.db"
    async with (
        EventStore.open(url, notify=notify, notify_keys=keys[0]) as writer,
        EventStore.open(url, notify=notify, notify_keys=keys[1], poll=poll) as reader,
        reader.subscribe_changes(after=END) as subscription,
    ):
        yield writer, reader, subscription


async def is_woken(
    path: Path, notify: str, keys: tuple[Keys, Keys] = ([KEY], [KEY])
) -> dict[str, str | int]:
    """See that appends arrive by nothing but messages; return what the reader says of them."""
    async with pair(path, notify, QUIET, keys) as (writer, reader, subscription):

        async def listens() -> bool:
            return reader.feed.notifier_facts()["listening"] == 1

        await eventually(listens)
        for position in (1, 2, 3):
            await writer.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [position]
        assert "trouble" not in writer.feed.notifier_facts()

        async def all_came() -> bool:
            # A look that was due anyway may have been quicker than the message.
            return int(reader.feed.notifier_facts().get("messages_news", 0)) >= 3

        await eventually(all_came)
        return reader.feed.notifier_facts()


async def is_not_woken(path: Path, notify: str, *troubled: str) -> tuple[str, str]:
    """See that appends arrive all the same, and are not delayed; return both sides' trouble.

    ``troubled`` are the sides that are to have some: the reader by default.
    """
    async with pair(path, notify, SOON) as (writer, reader, subscription):
        for position in (1, 2, 3):
            with anyio.fail_after(DEADLINE):
                await writer.append("a/1", some(1))
            assert positions(await take(subscription, 1)) == [position]

        async def is_said() -> bool:
            sides = {"reader": reader, "writer": writer}
            return all(
                "trouble" in sides[one].feed.notifier_facts() for one in troubled or ["reader"]
            )

        await eventually(is_said)
        troubles = [str(one.feed.notifier_facts().get("trouble", "")) for one in (reader, writer)]

        async def is_shown() -> bool:
            # There may be more of it by now, or another one.
            now = str(reader.feed.notifier_facts().get("trouble", ""))
            return now in str((await reader.status()).get("trouble"))

        await eventually(is_shown)
        return troubles[0], troubles[1]


def write_ca(path: Path, authority: trustme.CA) -> str:
    authority.cert_pem.write_to_path(str(path / "ca.pem"))
    return quote(str(path / "ca.pem"))


async def test_a_server_that_a_private_authority_vouches_for_is_believed(
    tmp_path: Path, tls_port: int, authority: trustme.CA
) -> None:
    file = write_ca(tmp_path, authority)
    url = f"rediss://{HOST}:{tls_port}/0?ssl_ca_certs={file}"
    assert int((await is_woken(tmp_path, url))["messages_news"]) == 3


@pytest.mark.promise("subscription")
@pytest.mark.parametrize("named", [False, True], ids=["nobody", "another-authority"])
async def test_a_server_that_nobody_vouches_for_is_refused(
    tmp_path: Path, tls_port: int, named: bool
) -> None:
    file = write_ca(tmp_path, trustme.CA())
    url = f"rediss://{HOST}:{tls_port}/0" + (f"?ssl_ca_certs={file}" if named else "")
    reader, _ = await is_not_woken(tmp_path, url)
    # The reader listens and publishes heartbeats: both are refused, and it shows the newer refusal.
    refused = r"^cannot (listen|publish): .*CERTIFICATE_VERIFY_FAILED.*\?ssl_ca_certs=FILE"
    assert re.search(refused, reader)


async def test_a_certificate_for_another_host_is_refused(
    tmp_path: Path, redis: RedisServer, authority: trustme.CA
) -> None:
    file = write_ca(tmp_path, authority)
    with tls_in_front(redis.port, authority.issue_cert("redis.example")) as port:
        reader, _ = await is_not_woken(tmp_path, f"rediss://{HOST}:{port}/0?ssl_ca_certs={file}")
    assert re.search(r"mismatch.*: name the host as its certificate does", reader)


async def test_a_server_that_asks_for_a_certificate_gets_the_one_that_is_named(
    tmp_path: Path, redis: RedisServer, authority: trustme.CA
) -> None:
    mine = authority.issue_cert("worker-1")
    mine.private_key_and_cert_chain_pem.write_to_path(str(tmp_path / "mine.pem"))
    file, named = write_ca(tmp_path, authority), quote(str(tmp_path / "mine.pem"))
    with tls_in_front(redis.port, authority.issue_cert(HOST), authority) as port:
        url = f"rediss://{HOST}:{port}/0?ssl_ca_certs={file}"
        reader, _ = await is_not_woken(tmp_path, url)
        said = reader.startswith(("cannot listen: ", "cannot publish: "))
        assert said, "how it ends, each server decides for itself"
        (tmp_path / "events.db").unlink()
        facts = await is_woken(tmp_path, f"{url}&ssl_certfile={named}&ssl_keyfile={named}")
        assert facts["messages_news"] == 3


async def test_tls_where_there_is_none_is_told_apart(tmp_path: Path, redis: RedisServer) -> None:
    url = f"rediss://{HOST}:{redis.port}/0?socket_timeout=0.1"
    reader, _ = await is_not_woken(tmp_path, url)
    assert "does the URL's port answer, and speak TLS or not?" in reader


async def test_an_authority_that_is_not_there_is_named(tmp_path: Path, tls_port: int) -> None:
    reader, _ = await is_not_woken(tmp_path, f"rediss://{HOST}:{tls_port}/0?ssl_ca_certs=/no/ca")
    assert "names a file or socket that is not there" in reader


def documented_rights() -> str:
    """Return what the documentation says that a user needs."""
    text = (REPOSITORY / "docs" / "notifiers.md").read_text()
    (rights,) = re.findall(r"^user fleet on >PASSWORD (.*)$", text, re.MULTILINE)
    return str(rights)


def make_user(redis: RedisServer, rights: str) -> str:
    """Make a user, who has these rights only; return the URL for them."""
    with redis.client() as client:
        client.execute_command(
            "ACL", "SETUSER", "fleet", "reset", "on", f">{PASSWORD}", *rights.split()
        )
        client.execute_command("ACL", "LOG", "RESET")
    return f"redis://fleet:{quote(PASSWORD, safe='')}@{HOST}:{redis.port}/0"


def refused_by(redis: RedisServer) -> Any:
    with redis.client() as client:
        return client.execute_command("ACL", "LOG")


@pytest.mark.promise("redis")
async def test_the_documented_rights_suffice_and_nothing_else_is_asked_for(
    tmp_path: Path, redis: RedisServer
) -> None:
    url = make_user(redis, documented_rights())
    assert int((await is_woken(tmp_path, url))["messages_news"]) == 3
    assert refused_by(redis) == []


@pytest.mark.promise("subscription")
@pytest.mark.parametrize(
    ("missing", "troubled"),
    [
        ("+publish", ["writer"]),
        ("+subscribe", ["reader"]),
        ("&eventstore:*", ["reader", "writer"]),
    ],
)
async def test_a_user_without_a_right_is_told_which_ones_it_needs(
    tmp_path: Path, redis: RedisServer, missing: str, troubled: list[str]
) -> None:
    url = make_user(redis, documented_rights().replace(missing, ""))
    reader, writer = await is_not_woken(tmp_path, url, *troubled)
    needs = re.escape("its user needs &eventstore:* +subscribe +publish +ping")
    assert bool(re.search(f"cannot listen: .*{needs}", reader)) == ("reader" in troubled)
    assert bool(re.search(f"cannot publish: .*{needs}", writer)) == ("writer" in troubled)


async def test_a_wrong_password_is_said_and_not_shown(tmp_path: Path, redis: RedisServer) -> None:
    url = make_user(redis, documented_rights()).replace("fleet:", "fleet:x")
    reader, _ = await is_not_woken(tmp_path, url)
    assert re.search("^cannot listen: .*: mend user and password in the notifier's URL", reader)
    assert "word" not in reader.replace("password", "")


async def test_what_cannot_be_published_stays_a_trouble_while_listening_works(
    tmp_path: Path, redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("eventstore.notify._redis.PING_SECONDS", 0.1)
    url = make_user(redis, documented_rights().replace("+publish", ""))
    async with pair(tmp_path, url, SOON) as (writer, _, _), writer.subscribe_changes() as own:
        await writer.append("a/1", some(1))
        await take(own, 1)

        async def is_refused() -> bool:
            return "trouble" in writer.feed.notifier_facts()

        async def is_alive() -> bool:
            with redis.client() as client:
                return "cmdstat_ping" in client.info("commandstats")

        await eventually(is_refused)
        with redis.client() as client:
            client.execute_command("CONFIG", "RESETSTAT")
        await eventually(is_alive)
        assert "cannot publish" in str(writer.feed.notifier_facts()["trouble"])


async def test_rights_that_are_given_later_end_the_trouble(
    tmp_path: Path, redis: RedisServer
) -> None:
    async with pair(tmp_path, make_user(redis, ""), SOON) as (writer, reader, subscription):

        async def is_trouble() -> bool:
            return (
                "trouble" in reader.feed.notifier_facts()
                and "trouble" in writer.feed.notifier_facts()
            )

        async def is_well() -> bool:
            await writer.append("a/1", some(1))
            facts = reader.feed.notifier_facts()
            return facts["listening"] == 1 and facts.get("messages_news", 0) != 0

        await writer.append("a/1", some(1))
        await eventually(is_trouble)
        make_user(redis, documented_rights())
        await eventually(is_well)
        await take(subscription, 1)
        assert "trouble" not in writer.feed.notifier_facts()


@pytest.mark.parametrize(
    "url",
    [
        "redis://:sec/ret@h/0",
        "redis://u:sec#ret@h/0",
        "redis://u:12?sec@h/0",
        "rediss://u:sec@h:port/0",
        "redis://u:sec@h/0?colour=red",
        "rediss://u:sec@h/0?ssl_cert_reqs=maybe",
        "redis://u:sec@[h/0",
    ],
)
async def test_a_url_that_can_never_work_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(ConfigError, match="Redis URL") as refused:
        EventStore.open("memory://", notify=url)
    error: BaseException | None = refused.value
    assert "sec" not in str(error)
    assert "ret" not in str(error)
    assert refused.value.__cause__ is None
    assert refused.value.__context__ is None


OLD, NEW = "the key that was used so far", "the key that is to be used"
STEPS = [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]
"""What the documentation says to go through: the first one signs, and all are believed."""


@pytest.mark.promise("subscription")
@pytest.mark.parametrize("step", [0, 1, 2])
@pytest.mark.parametrize("writer_is_first", [True, False])
async def test_no_step_of_exchanging_the_key_leaves_anybody_deaf(
    tmp_path: Path, redis: RedisServer, step: int, writer_is_first: bool
) -> None:
    before, after = STEPS[step], STEPS[step + 1]
    keys = (after, before) if writer_is_first else (before, after)
    facts = await is_woken(tmp_path, redis.url, keys)
    assert facts["messages_news"] == 3


async def test_a_process_with_another_key_is_told_once(
    tmp_path: Path, redis: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    async with pair(tmp_path, redis.url, SOON, ([OLD], [NEW])) as (writer, reader, subscription):
        for _ in range(3):
            await writer.append("a/1", some(1))
            await take(subscription, 1)

        async def all_refused() -> bool:
            return reader.feed.notifier_facts().get("messages_forged") == 3

        await eventually(all_refused)
    told = [record.message for record in caplog.records if "forged" in record.message]
    assert len(told) == 1
    assert "EVENTSTORE_NOTIFY_KEY" in told[0]
