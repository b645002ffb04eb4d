"""What a text means as a moment, before any log is asked."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from eventstore.errors import InvalidInputError
from eventstore.moments.written import (
    AtCommit,
    AtName,
    AtPosition,
    AtTag,
    AtTime,
    Written,
    is_name,
    read_written,
)

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("0", AtPosition(0)),
        ("1234567", AtPosition(1234567)),
        ("20260101", AtPosition(20260101)),
        ("now", AtTime(NOW)),
        ("now-2h", AtTime(NOW - timedelta(hours=2))),
        ("now+1m", AtTime(NOW + timedelta(minutes=1))),
        ("2026-01-31T12:00+01:00", AtTime(datetime(2026, 1, 31, 11, tzinfo=UTC))),
        ("git:ABCD", AtCommit("abcd")),
        ("git:1234567", AtCommit("1234567")),
        ("tag:1234567", AtTag("1234567")),
        ("abcd", AtName("abcd")),
        ("before the patch", AtName("before the patch")),
        ("-1", AtName("-1")),
    ],
)
def test_a_text_means_one_kind_of_moment(text: str, meant: Written) -> None:
    assert read_written(text, NOW) == meant


def test_a_time_without_a_zone_is_local() -> None:
    assert read_written("2026-01-31", NOW) == AtTime(datetime(2026, 1, 31).astimezone())


@pytest.mark.parametrize(
    "given", ["", "git:", "git:abc", "git:xyz1", "git:HEAD", "now-", "now-2", "now-99999999d", -1,
              True, None, 1.5, NOW.replace(tzinfo=None)],
)  # fmt: skip
def test_what_cannot_be_a_moment_is_refused(given: object) -> None:
    with pytest.raises(InvalidInputError, match="moment"):
        read_written(given, NOW)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "name", ["12", "now", "now-2", "2026-01-01", "git:abcd", "tag:x", "a:b", ""]
)
def test_no_tag_has_a_name_that_means_another_moment(name: str) -> None:
    assert not is_name(name)
