"""Any text as the key of a stream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore import InvalidInputError
from eventstore.log.names import check_stream
from projections.seams.checks import MAX_KEY_BYTES
from projections.seams.stream_keys import read_stream_key, stream_key

texts = st.text(
    st.characters(exclude_categories=["Cs"]) | st.sampled_from("%/\0\n\x85"),
    min_size=1,
    max_size=60,
).filter(lambda text: len(text.encode()) <= MAX_KEY_BYTES)


@given(texts, texts)
def test_any_text_is_a_key_of_its_own_and_comes_back(text: str, other: str) -> None:
    key = stream_key(text)
    assert check_stream(f"some/{key}") == f"some/{key}"
    assert read_stream_key(key) == text
    assert (key == stream_key(other)) == (text == other)


def test_the_longest_and_worst_text_fits_into_a_stream() -> None:
    check_stream("some/" + stream_key("%" * MAX_KEY_BYTES))


def test_ordinary_texts_stay_as_they_are() -> None:
    assert stream_key("Über uns: a_b-c.d e") == "Über uns: a_b-c.d e"


@pytest.mark.parametrize("bad", ["", None, 1, "\ud800", "x" * 256, "é" * 128])
def test_what_cannot_be_a_key_is_refused(bad: object) -> None:
    with pytest.raises(InvalidInputError, match="bot"):
        stream_key(bad, "bot")
