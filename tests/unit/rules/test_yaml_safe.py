"""Reading YAML from strangers: exact values, or a reason and a line, and never a crash."""

import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from eventstore.log.events import NewEvent
from projections.rules.formats._yaml_safe import MAX_DEPTH, Document, load, load_all
from projections.rules.formats.base import RuleFormatError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"))
)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=4)
    ),
    max_leaves=12,
)


def value_of(text: str) -> Any:
    return load("r.yml", text.encode()).value


def refusal(content: bytes | str) -> str:
    raw = content.encode() if isinstance(content, str) else content
    with pytest.raises(RuleFormatError) as caught:
        load("r.yml", raw)
    return str(caught.value)


@given(st.dictionaries(st.text(st.characters(codec="utf-8")), values))
def test_what_was_dumped_is_read_back(value: dict[str, Any]) -> None:
    dumped = yaml.safe_dump(value, sort_keys=False).encode()
    assert repr(load("r.yml", dumped).value) == repr(value)


@given(st.binary(max_size=200) | st.text(alphabet="[]{}&*!:-#|>'\"%@` \n\tab1", max_size=80))
def test_any_content_is_a_json_value_or_a_typed_refusal(content: bytes | str) -> None:
    raw = content.encode() if isinstance(content, str) else content
    outcome: Document | RuleFormatError
    try:
        outcome = load("r.yml", raw)
    except RuleFormatError as error:
        outcome = error
    if isinstance(outcome, Document):
        assert NewEvent("Test", outcome.value).data == outcome.value
    else:
        assert outcome.line is None or outcome.line >= 1


@pytest.mark.parametrize("opening", [b"[", b"- ", b"{a: ", b"? ", b"[{a: "])
def test_fifty_thousand_levels_are_refused_at_once(opening: bytes) -> None:
    start = time.thread_time()
    assert refusal(opening * 50_000).startswith("r.yml:1: ")
    assert time.thread_time() - start < 1


def test_deep_block_mappings_are_refused_where_they_become_too_deep() -> None:
    content = b"".join(b" " * depth + b"a:\n" for depth in range(5_000))
    assert refusal(content) == (
        f"r.yml:{MAX_DEPTH + 1}: is nested more than {MAX_DEPTH} levels deep"
    )


def test_the_deepest_nesting_that_is_allowed_is_read() -> None:
    assert value_of("[" * MAX_DEPTH + "]" * MAX_DEPTH)


def test_nesting_through_aliases_counts() -> None:
    half = MAX_DEPTH // 2
    nested = "a: &a " + "[" * half + "]" * half + "\nb: " + "[" * half + "*a" + "]" * half
    assert "nested more than" in refusal(nested)


def test_an_alias_bomb_is_refused_without_being_expanded() -> None:
    lines = ["l0: &l0 [lol, lol, lol, lol, lol, lol, lol, lol, lol, lol]"]
    lines += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 12)]
    start = time.thread_time()
    assert "too large once its aliases are expanded" in refusal("\n".join(lines))
    assert time.thread_time() - start < 1


def test_a_long_text_repeated_by_aliases_is_refused() -> None:
    repeated = ", ".join(["*a"] * 1_000)
    assert "too large" in refusal(f"a: &a {'x' * 100_000}\nb: [{repeated}]")


def test_a_harmless_alias_is_the_value_it_names() -> None:
    assert value_of("a: &names [x, y]\nb: *names") == {"a": ["x", "y"], "b": ["x", "y"]}


def test_an_alias_within_its_own_anchor_is_refused() -> None:
    assert refusal("a: &a [*a]") == "r.yml:1: the alias *a stands inside of what it refers to"


def test_an_alias_without_an_anchor_is_refused() -> None:
    assert refusal("x: 1\na: *b") == "r.yml:2: the alias *b refers to nothing"


def test_anchors_of_one_document_are_unknown_to_the_next() -> None:
    with pytest.raises(RuleFormatError, match=r"\*a refers to nothing"):
        load_all("r.yml", b"a: &a 1\n---\nb: *a\n")


def test_equal_keys_are_refused_with_both_lines() -> None:
    assert refusal("a: 1\nb: 2\na: 3") == "r.yml:3: the key 'a' was given on line 1 already"


@pytest.mark.parametrize("key", ["1", "1.5", "yes", "~", "[a]", "{a: b}"])
def test_a_key_that_is_no_text_is_refused(key: str) -> None:
    assert refusal(f"x: 1\n? {key}\n: 2").startswith("r.yml:2: a key must be a text, not ")


def test_a_quoted_key_is_a_text() -> None:
    assert value_of("'1': a\n\"yes\": b") == {"1": "a", "yes": "b"}


@pytest.mark.parametrize("value", ["2020-01-01", "2020/01/01", "2001-12-14t21:59:43.10-05:00"])
def test_a_date_stays_the_text_that_was_written(value: str) -> None:
    assert value_of(f"date: {value}") == {"date": value}


@pytest.mark.parametrize("value", [".nan", ".inf", "-.INF", "1.0e+999", "18446744073709551616"])
def test_a_number_that_json_cannot_hold_is_refused(value: str) -> None:
    assert refusal(f"x: 1\na: {value}").startswith(f"r.yml:2: '{value}' is a number that JSON")


@pytest.mark.parametrize("number", ["1" * 5_000, "1" + ":1" * 200_000, "0." + "1" * 5_000])
def test_an_endless_number_is_refused_at_once(number: str) -> None:
    start = time.thread_time()
    assert "JSON cannot hold" in refusal(f"a: {number}")
    assert time.thread_time() - start < 1


@pytest.mark.parametrize(
    "tagged", ["!!binary aGk=", "!!timestamp 2020-01-01", "!!set {a}", "!!python/name:os.system ''"]
)
def test_a_tag_is_refused(tagged: str) -> None:
    assert "is not supported" in refusal(f"a: {tagged}")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}", {"x": 1, "y": 3}),
        ("a: &a {x: 1, y: 2}\nb: {y: 3, <<: *a}", {"x": 1, "y": 3}),
        ("a: [&a {x: 1}, &b {x: 2, y: 2}]\nb: {<<: [*a, *b]}", {"x": 1, "y": 2}),
        ("b: {<<: {y: 2}, z: 3}", {"y": 2, "z": 3}),
        ("a: &a {x: 1}\nc: &c {<<: *a, y: 2}\nb: {<<: *c}", {"x": 1, "y": 2}),
    ],
)
def test_a_merge_key_adds_what_is_not_there(content: str, expected: dict[str, int]) -> None:
    assert value_of(content)["b"] == expected


@pytest.mark.parametrize(
    "content", ["<<: 1", "<<: [1]", "a: <<", "- <<", "<<: {a: 1}\n<<: {b: 2}", "[<<: x]"]
)
def test_a_merge_key_that_names_no_mapping_is_refused(content: str) -> None:
    assert "<<" in refusal(content)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("!!str 1", "1"),
        ("!!int '1'", 1),
        ("!!int 0x1F", 31),
        ("!!float '1.5'", 1.5),
        ("!!bool 'yes'", True),
        ("!!null ''", None),
        ("!!map {x: 1}", {"x": 1}),
        ("!!seq [1]", [1]),
        ("! b", "b"),
        ("! 'b'", "b"),
    ],
)
def test_tags_of_the_types_that_json_has_are_taken(content: str, expected: object) -> None:
    assert value_of(f"a: {content}")["a"] == expected


@pytest.mark.parametrize("tagged", ["!!int x", "!!float ''", "!!bool maybe", "!!null 1"])
def test_a_tag_that_its_text_contradicts_is_refused(tagged: str) -> None:
    assert "r.yml:1:" in refusal(f"a: {tagged}")


def test_scalars_are_those_of_yaml_1_1() -> None:
    text = "[yes, Off, ~, null, '', 0o17, 010, 0x1F, 1_000, 1.5e+3, '7', 12e3]"
    assert value_of(text) == [True, False, None, None, "", "0o17", 8, 31, 1000, 1500.0, "7", "12e3"]


def test_a_byte_order_mark_and_windows_line_ends_are_tolerated() -> None:
    document = load("r.yml", b"\xef\xbb\xbfa: 1\r\nb: [x]\r\n")
    assert document.value == {"a": 1, "b": ["x"]}
    assert document.line_of(document.value, "b") == 2


def test_a_nul_byte_is_refused_with_its_line() -> None:
    assert refusal(b"a: 1\nb: \0") == "r.yml:2: contains a NUL byte"


@pytest.mark.parametrize("content", [b"a: 1\nb: \xff", b"a: 1\nb: \xed\xa0\x80"])
def test_what_is_not_utf8_is_refused_with_its_line(content: bytes) -> None:
    assert refusal(content) == "r.yml:2: is not UTF-8"


def test_utf16_is_refused() -> None:
    assert refusal("a: 1".encode("utf-16")) == "r.yml:1: is not UTF-8"


def test_a_control_character_is_refused_with_its_line() -> None:
    assert refusal(b"a: 1\nb: \x01") == "r.yml:2: not YAML: control characters are not allowed"


def test_a_syntax_error_says_where_and_what() -> None:
    assert refusal("a: [1\nb: 2").startswith("r.yml:2: not YAML: while parsing a flow sequence")


@pytest.mark.parametrize("content", ["", "\n", "# nothing\n", "---\n---\n"])
def test_an_empty_file_is_refused(content: str) -> None:
    assert refusal(content) == "r.yml: is empty"


def test_a_second_document_is_refused_with_its_line() -> None:
    assert refusal("a: 1\n---\nb: 2") == "r.yml:3: a second document starts here"


def test_a_separator_at_the_end_starts_no_document() -> None:
    assert value_of("---\na: 1\n---\n") == {"a": 1}


def test_lines_are_known_for_keys_and_items() -> None:
    document = load("r.yml", b"a:\n  - x\n  - b: 1\n    c: 2\n")
    items = document.value["a"]
    assert document.line_of(items, 1) == 3
    assert document.line_of(items[1], "c") == 4
    assert document.line_of(items[1], "missing") is None
