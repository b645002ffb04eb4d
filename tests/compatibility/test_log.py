"""Appends, reads and consumers of both versions on one log."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.old_transaction import old_transaction
from support.postgres import shared_server

from .versions import NEW, VersionError, release_names

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Pair
    from .versions import Version

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]

ORDER = [{"type": "Placed", "data": {"total": 12.5, "text": "ä\u0000"}, "id": "order-17-placed"}]


def check_unbroken(pair: Pair, url: str, anchor: str) -> None:
    """Both versions read the same events, and both find the log in order."""
    assert pair.first.call("read", url=url) == pair.second.call("read", url=url)
    for version in pair:
        assert version.call("verify", url=url, anchor=anchor) == []


def test_there_is_a_release_and_each_process_runs_its_own_version(
    running: dict[str, Version],
) -> None:
    assert release_names()
    for name, version in running.items():
        assert version.call("where") == str(version.place)
        assert (name == NEW) == ("releases" not in str(version.place))


def test_an_append_goes_on_after_the_other_version_s(pair: Pair, url: str) -> None:
    assert pair.first.call("append", url=url, stream="order/17", events=ORDER) == [1, 1, False]
    anchor = pair.first.call("head", url=url)
    more = [{"type": "Paid", "data": None}, {"type": "Sent", "data": [1]}]
    done = pair.second.call("append", url=url, stream="order/17", events=more, expected=1)
    assert done == [3, 3, False]
    with pytest.raises(VersionError, match="ConflictError"):
        pair.first.call("append", url=url, stream="order/17", events=more, expected=1)
    assert pair.first.call("append", url=url, stream="order/18", events=more) == [5, 2, False]
    check_unbroken(pair, url, anchor)


def test_an_append_that_is_repeated_by_the_other_version_is_a_duplicate(
    pair: Pair, url: str
) -> None:
    pair.first.call("append", url=url, stream="order/17", events=ORDER)
    done = pair.second.call("append", url=url, stream="order/17", events=ORDER)
    assert done == [1, 1, True]
    other = [{**ORDER[0], "data": {}}]
    with pytest.raises(VersionError, match="DuplicateEventError"):
        pair.second.call("append", url=url, stream="order/17", events=other)


def test_a_consumer_goes_on_where_the_other_version_left_it(pair: Pair, url: str) -> None:
    numbers = [{"type": "Counted", "data": number} for number in range(6)]
    pair.first.call("append", url=url, stream="count/1", events=numbers)
    taken = [
        version.call("consume", url=url, consumer="worker", count=2)
        for version in (pair.first, pair.second, pair.first)
    ]
    assert taken == [[1, 2], [3, 4], [5, 6]]


def test_versions_that_append_at_the_same_time_leave_one_gapless_order(
    pair: Pair, url: str
) -> None:
    pair.first.call("append", url=url, stream="order/17", events=ORDER)
    anchor = pair.second.call("head", url=url)
    both = [
        version.begin("append_often", url=url, stream=f"count/{number}", count=40)
        for number, version in enumerate(pair)
    ]
    for one in both:
        one.result(60)
    events = pair.first.call("read", url=url)
    assert [event[0] for event in events] == list(range(1, 82))
    for number in range(2):
        mine = [event[5] for event in events if event[1] == f"count/{number}"]
        assert mine == list(range(40))
    check_unbroken(pair, url, anchor)


def test_versions_share_a_log_whose_head_has_many_old_versions(pair: Pair) -> None:
    url = shared_server().fresh_schema()
    pair.first.call("append", url=url, stream="order/17", events=ORDER)
    anchor = pair.second.call("head", url=url)
    with old_transaction(url, versions=2_000):
        both = [
            version.begin("append_often", url=url, stream="count/1", count=40) for version in pair
        ]
        for one in both:
            one.result(60)
        assert [event[0] for event in pair.first.call("read", url=url)] == list(range(1, 82))
        check_unbroken(pair, url, anchor)


def test_an_export_of_one_version_is_imported_by_the_other(
    pair: Pair, url: str, other_url: str, tmp_path: Path
) -> None:
    pair.first.call("append", url=url, stream="order/17", events=ORDER)
    pair.second.call("append_often", url=url, stream="count/1", count=5)
    pair.first.call("consume", url=url, consumer="worker", count=3)
    anchor = pair.first.call("head", url=url)
    file = str(tmp_path / "log.export")
    assert pair.first.call("export", url=url, file=file) == 6
    pair.second.call("import_from", url=other_url, file=file)
    assert pair.second.call("head", url=other_url) == anchor
    assert pair.first.call("consume", url=other_url, consumer="worker", count=3) == [4, 5, 6]
    check_unbroken(pair, other_url, anchor)


@pytest.mark.parametrize("release", release_names())
def test_an_archive_that_a_release_wrote_is_imported_by_this_version(
    running: dict[str, Version], url: str, other_url: str, tmp_path: Path, release: str
) -> None:
    old, new = running[release], running[NEW]
    old.call("append", url=url, stream="order/17", events=ORDER)
    old.call("append_often", url=url, stream="count/1", count=5)
    before = old.call("read", url=url)
    archive = str(tmp_path / "old.archive")
    assert old.call("trim", url=url, before=5, archive=archive) == 5
    new.call("import_from", url=other_url, file=archive)
    assert new.call("read", url=other_url) == before[:4]
    assert new.call("verify", url=other_url, anchor=new.call("head", url=other_url)) == []
    # The archive and the rest of the log are one history.
    assert new.call("read", url=url)[:2] == before[4:6]


def test_a_release_s_consumer_is_removed_and_rewound_by_this_version(
    running: dict[str, Version], url: str
) -> None:
    new = running[NEW]
    for name in release_names():
        old = running[name]
        numbers = [{"type": "Counted", "data": number} for number in range(4)]
        new.call("append", url=url, stream=f"count/{name}", events=numbers)
        first = old.call("hold", name="h", url=url, consumer="worker")
        new.call("remove_consumer", url=url, consumer="worker")
        assert new.call("consume", url=url, consumer="worker", count=3)[-1] == first + 2
        # The release's late acknowledgement neither moves nor brings back the consumer.
        assert old.call("acknowledge", name="h") == "TakenOverError"
        assert old.call("consume", url=url, consumer="worker", count=1) == [first + 3]
        assert new.call("rewind_consumer", url=url, consumer="worker", to=first + 1) == first + 1
        assert old.call("consume", url=url, consumer="worker", count=1) == [first + 2]
        assert old.call("verify", url=url, anchor=new.call("head", url=url)) == []
        new.call("remove_consumer", url=url, consumer="worker")
