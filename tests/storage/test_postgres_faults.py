"""A fleet on PostgreSQL while the server and the network fail: promises 1, 2 and 5.

Short by default; the lengths that show what is rare are run by ``pytest -m soak``.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from random import Random
from typing import TYPE_CHECKING, Final

import pytest
from support.fleet import fleet
from support.lengths import lengths
from support.network import HOST
from support.postgres import private_server, shared_server
from support.proxy import proxied

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from support.proxy import Proxy

WAIT: Final = 30.0
"""Seconds until a writer must have come to where a fault waits for it."""
LIMITS = "%20-cstatement_timeout%3D2s&connect_timeout=2"
"""Ends a URL: a frozen network is given up after 3 s, which in earnest are 60."""


@pytest.mark.promise("order")
@lengths(
    ("writers", "followers", "events", "uneven"),
    # In a short run on a busy machine, one process may begin much later than another.
    (3, 2, 500, 10),
    slow=(3, 2, 3_000, 5),
    soak=(8, 4, 50_000, 2),
    timeout=1200,
)
def test_a_fleet_leaves_one_gapless_order_and_starves_nobody(
    tmp_path: Path, writers: int, followers: int, events: int, uneven: int
) -> None:
    url = shared_server().fresh_schema()
    with fleet(url, tmp_path, writers=writers, followers=followers) as all_:
        all_.start()
        all_.advance(events)
        all_.finish()
        all_.check()
        shares = all_.report("undisturbed")
    assert min(shares) * uneven > max(shares)


@pytest.mark.promise("durable")
@lengths(
    ("writers", "followers", "stops", "events"),
    (2, 2, 1, 200),
    slow=(2, 2, 3, 500),
    soak=(8, 4, 3, 10_000),
    timeout=1200,
)
def test_a_server_that_crashes_loses_nothing_it_acknowledged(
    tmp_path: Path, writers: int, followers: int, stops: int, events: int
) -> None:
    with private_server(fsync=True) as server:
        url = server.fresh_schema()
        with fleet(url, tmp_path, writers=writers, followers=followers) as all_:
            all_.start()
            for _ in range(stops):
                all_.advance(events)
                server.restart("immediate")
                all_.catch_up()
            all_.finish()
            all_.check()
            all_.report(f"{stops} crashes")


@pytest.mark.slow
@pytest.mark.promise("durable")
@lengths(
    ("writers", "followers", "faults"),
    (2, 1, 9),
    slow=(3, 2, 18),
    soak=(8, 4, 90),
    timeout=1200,
)
def test_a_network_that_fails_in_mid_commit_loses_and_doubles_nothing(
    tmp_path: Path, writers: int, followers: int, faults: int
) -> None:
    server = shared_server()
    direct = server.fresh_schema()
    with ExitStack() as stack:
        proxies = {
            (kind, number): stack.enter_context(proxied(HOST, server.port))
            for kind in ("writer", "follower")
            for number in range(2)
        }
        all_ = stack.enter_context(
            fleet(
                direct,
                tmp_path,
                writers=writers,
                followers=followers,
                url=lambda kind, number: proxies[kind, number % 2].url(direct) + LIMITS,
            )
        )
        all_.start()
        pairs = [(proxies["writer", number], proxies["follower", number]) for number in range(2)]
        done = misbehave(pairs, faults)
        all_.catch_up()
        all_.finish()
        all_.check()
        all_.report(f"{len(done)} faults")
        # An answer that was cut off leaves an outcome unknown, until it is asked for again.
        assert any(call.duplicate for one in all_.writers for call in one.calls())
    assert set(done) == set(WAYS)


def misbehave(pairs: list[tuple[Proxy, Proxy]], faults: int) -> list[str]:
    """Fail writers and followers in each of the ways, in turn, then be well; return which."""
    random = Random(faults)
    done: list[str] = []
    while len(done) < faults:
        name = list(WAYS)[len(done) % len(WAYS)]
        writers, followers = pairs[len(done) % len(pairs)]
        WAYS[name](writers, random)
        followers.cut()
        done.append(name)
    return done


def cut_before_commit(proxy: Proxy, _: Random) -> None:
    """Cut when an insert is about to be handed on, and with it the commit that follows."""
    assert proxy.when(b"Single", proxy.cut).wait(WAIT)


def cut_after_commit(proxy: Proxy, _: Random) -> None:
    """Cut once both have been handed on: it may be done, or not be done yet."""
    assert proxy.when(b"Single", proxy.cut, after=True).wait(WAIT)


def cut_before_answer(proxy: Proxy, _: Random) -> None:
    """Cut when the server says that it is done."""
    assert proxy.when(b"COMMIT", proxy.cut, sender="server").wait(WAIT)


def cut_in_batch(proxy: Proxy, _: Random) -> None:
    """Cut within a COPY."""
    assert proxy.when(b"Batch", proxy.cut, after=True).wait(WAIT)


def freeze_and_thaw(proxy: Proxy, random: Random) -> None:
    """Deliver nothing for a while, in mid-commit, and then everything."""
    assert proxy.when(b"Single", proxy.freeze, after=True).wait(WAIT)
    time.sleep(random.uniform(0.1, 1.0))
    proxy.thaw()


def freeze_for_long(proxy: Proxy, _: Random) -> None:
    """Deliver nothing for longer than the clients' patience, and then everything, late."""
    assert proxy.when(b"COMMIT", proxy.freeze, sender="server").wait(WAIT)
    time.sleep(3.6)
    proxy.thaw()


def freeze_and_cut(proxy: Proxy, random: Random) -> None:
    """Deliver nothing for a while, and then never."""
    proxy.freeze()
    time.sleep(random.uniform(0.1, 0.5))
    proxy.cut()
    proxy.thaw()


def delay(proxy: Proxy, random: Random) -> None:
    """Deliver everything later, for a while."""
    proxy.delay(random.uniform(0.01, 0.1))
    time.sleep(random.uniform(0.2, 0.5))
    proxy.delay(0.0)


def refuse(proxy: Proxy, random: Random) -> None:
    """Cut, and take no connections for a while."""
    proxy.refuse()
    proxy.cut()
    time.sleep(random.uniform(0.1, 0.5))
    proxy.accept()


WAYS: Final[dict[str, Callable[[Proxy, Random], None]]] = {
    way.__name__: way
    for way in (
        cut_before_commit,
        cut_after_commit,
        cut_before_answer,
        cut_in_batch,
        freeze_and_thaw,
        freeze_and_cut,
        delay,
        refuse,
        freeze_for_long,
    )
}
