"""The texts of ids and times, which are made without the objects that they stand for."""

from __future__ import annotations

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.limits import MAX_TIME_US
from eventstore.log.clock import from_microseconds, time_text
from eventstore.log.event_ids import pack_id, unpack_id


@given(st.integers(-62_135_596_800_000_000, MAX_TIME_US))
def test_a_time_s_text_is_that_of_its_datetime(value: int) -> None:
    for one in (value, value // 1_000_000 * 1_000_000):
        assert time_text(one) == from_microseconds(one).isoformat()


def test_what_is_no_time_has_no_text() -> None:
    with pytest.raises(OverflowError):
        time_text(2**62)


@given(st.uuids() | st.just(UUID(int=0)) | st.just(UUID(int=2**128 - 1)))
def test_an_id_s_text_is_that_of_its_uuid(value: UUID) -> None:
    assert unpack_id(pack_id(str(value))) == str(value)


@pytest.mark.parametrize("packed", [b"\x01", b"\x01" * 15, b"\x01" * 17, b""])
def test_what_is_no_stored_id_has_no_text(packed: bytes) -> None:
    with pytest.raises((ValueError, IndexError)):
        unpack_id(packed)
