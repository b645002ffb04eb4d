"""An inline projection that processes of two releases keep together, in one version."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from support.totals import read_totals

from .test_log import check_unbroken

if TYPE_CHECKING:
    from .conftest import Pair

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]

TURNS = 3


def test_an_inline_projection_is_kept_by_both_versions_in_turn_and_at_once(
    pair: Pair, url: str
) -> None:
    pair.first.call("append_often", url=url, stream="n/before", count=30)
    anchor = pair.first.call("head", url=url)
    expected = Counter({"n/before": sum(range(30))})
    for version in pair:
        version.call("open_view", url=url)
    for turn in range(TURNS):
        for number, version in enumerate(pair):
            numbers = [turn * 10 + number + 1, 5]
            expected["n/both"] += sum(numbers)
            # A writer reads its own write, and what the other version wrote before.
            assert version.call("append_with_view", url=url, stream="n/both", numbers=numbers) == (
                dict(expected)
            )
        at_once = [
            version.begin("append_with_view", url=url, stream=f"n/{number}", numbers=[2] * 20)
            for number, version in enumerate(pair)
        ]
        for number, one in enumerate(at_once):
            one.result(60)
            expected[f"n/{number}"] += 40
        assert read_totals(url) == dict(expected)
    for version in pair:
        version.call("close_view", url=url)
        version.call("open_view", url=url)
        assert read_totals(url) == dict(expected)
        version.call("close_view", url=url)
    # What a process without the projection appends, each version makes good as it opens.
    for number, version in enumerate(pair):
        pair[1 - number].call("append_often", url=url, stream="n/without", count=10)
        expected["n/without"] += sum(range(10))
        version.call("open_view", url=url)
        assert read_totals(url) == dict(expected)
        version.call("close_view", url=url)
    check_unbroken(pair, url, anchor)
