"""A status proves a file's content only if the file had rested when it was read."""

import pytest

from eventstore.system.stat_cache import COARSE_NS, YOUNG_NS, FileStamp, StatCache

CHANGED_NS = 1_700_000_000_123_456_789
WHOLE_SECOND_NS = 1_700_000_000_000_000_000


def stamp(changed_ns: int = CHANGED_NS, size: int = 3) -> FileStamp:
    return FileStamp(1, 2, size, changed_ns, changed_ns)


@pytest.mark.parametrize(
    ("changed_ns", "age_ns", "proven"),
    [
        (CHANGED_NS, YOUNG_NS, False),
        (CHANGED_NS, YOUNG_NS + 1, True),
        (CHANGED_NS, -1, False),
        (WHOLE_SECOND_NS, COARSE_NS, False),
        (WHOLE_SECOND_NS, COARSE_NS + 1, True),
    ],
)
def test_only_a_file_that_has_rested_is_proven(
    changed_ns: int, age_ns: int, *, proven: bool
) -> None:
    cache: StatCache[str] = StatCache()
    cache.put("a", stamp(changed_ns), "value", changed_ns + age_ns)
    assert cache.get("a", stamp(changed_ns)) == ("value" if proven else None)


def test_another_stamp_is_another_file() -> None:
    cache: StatCache[str] = StatCache()
    cache.put("a", stamp(), "value", CHANGED_NS + COARSE_NS)
    assert cache.get("a", stamp(size=4)) is None
    assert cache.get("b", stamp()) is None


def test_values_are_dropped_by_path() -> None:
    cache: StatCache[str] = StatCache()
    for path in "abc":
        cache.put(path, stamp(), path, CHANGED_NS + COARSE_NS)
    cache.retain({"a", "b"})
    cache.forget(["b"])
    assert [cache.get(path, stamp()) for path in "abc"] == ["a", None, None]
