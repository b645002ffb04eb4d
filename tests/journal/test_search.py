"""Filters: the same answers on every database, in any language, and clear errors."""

from __future__ import annotations

import sys
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from support.journals import PROJECT, START, entry, fill, ids

from eventstore import ConfigError, InvalidInputError, LimitExceededError
from projections.journal import Journal, PatternError, PatternTimeoutError
from projections.journal.message_pattern import matching

pytestmark = pytest.mark.anyio

MESSAGES = {
    "plain": "Deploy finished in 3 s",
    "upper": "DEPLOY FAILED",
    "umlaut": "Übergabe an GROẞE Straße",
    "greek": "ΜΈΓΑΣ ΟΔΥΣΣΕΎΣ",
    "turkish": "İstanbul",
    "wild": "100% of a_b\\c",
    "nul": "nul \0 and \1\2\3 and \\u0000",
    "lines": "first line\nsecond line",
    "empty": "",
}


async def filled(journal: Journal) -> Journal:
    await journal.upsert_project(**PROJECT)
    for number, (name, message) in enumerate(MESSAGES.items()):
        await journal.insert_entry(**entry(number, entry_id=name, message=message))
    return journal


async def found(journal: Journal, **query: Any) -> set[str]:
    entries = await journal.query_entries(project="p", limit=100, **query)
    assert await journal.count_query_entries(project="p", **query) == len(entries)
    _, total = await journal.query_entries_paginated(project="p", page_size=1, **query)
    assert total == len(entries)
    return set(ids(entries))


async def test_messages_are_found_by_a_part_of_them(journal: Journal) -> None:
    await filled(journal)
    for message, folded, exact in [
        ("deploy", {"plain", "upper"}, set()),
        ("DEPLOY", {"plain", "upper"}, {"upper"}),
        ("übergabe", {"umlaut"}, set()),
        ("STRASSE", {"umlaut"}, set()),
        ("große", {"umlaut"}, set()),
        ("οδυσσεύς", {"greek"}, set()),
        ("i̇stan", {"turkish"}, set()),
        ("%", {"wild"}, {"wild"}),
        ("a_b\\", {"wild"}, {"wild"}),
        ("A_B", {"wild"}, set()),
        ("_", {"wild"}, {"wild"}),
        ("\0", {"nul"}, {"nul"}),
        ("\1", {"nul"}, {"nul"}),
        ("\2\2", set(), set()),
        ("u0000", {"nul"}, {"nul"}),
        ("line\nsecond", {"lines"}, {"lines"}),
        ("", set(MESSAGES), set(MESSAGES)),
        ("nothing has this", set(), set()),
    ]:
        assert await found(journal, message=message) == folded, message
        assert await found(journal, message=message, case_sensitive=True) == exact, message


async def test_messages_are_found_as_a_whole(journal: Journal) -> None:
    await filled(journal)
    for name, message in MESSAGES.items():
        whole = {"message": message, "message_mode": "exact"}
        assert await found(journal, **whole, case_sensitive=True) == {name}
        assert await found(journal, **{**whole, "message": message.swapcase()}) >= {name}
        assert await found(journal, **{**whole, "message": message + "x"}) == set()


@pytest.mark.promise("journal")
async def test_messages_are_found_by_one_dialect_of_expressions(journal: Journal) -> None:
    await filled(journal)
    for pattern, folded, exact in [
        ("^deploy", {"plain", "upper"}, set()),
        (r"\d+ s$", {"plain"}, {"plain"}),
        (r"^\p{Lu}+ \p{Lu}+$", {"upper", "greek"}, {"upper", "greek"}),
        ("über.*stra", {"umlaut"}, set()),
        (r"nul \x00", {"nul"}, {"nul"}),
        ("\0", {"nul"}, {"nul"}),
        (r"\\u0000$", {"nul"}, {"nul"}),
        ("^second", set(), set()),
        ("(?m)^second", {"lines"}, {"lines"}),
        ("^$", {"empty"}, {"empty"}),
        ("", set(MESSAGES), set(MESSAGES)),
    ]:
        mode = {"message": pattern, "message_mode": "regex"}
        assert await found(journal, **mode) == folded, pattern
        assert await found(journal, **mode, case_sensitive=True) == exact, pattern


@pytest.mark.parametrize("pattern", ["(", "a{2000}", r"(a)\1", "(?<=a)b", "[z-a]", "*"])
async def test_a_bad_pattern_is_named(
    journal: Journal, pattern: str, capfd: pytest.CaptureFixture[str]
) -> None:
    await fill(journal, 1)
    with pytest.raises(PatternError, match="RE2") as caught:
        await journal.query_entries(project="p", limit=1, message=pattern, message_mode="regex")
    assert caught.value.pattern == pattern
    assert capfd.readouterr().err == ""


async def test_without_re2_a_pattern_is_one_line_that_names_the_extra(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(journal, 1)
    monkeypatch.setitem(sys.modules, "re2", None)
    with pytest.raises(ConfigError, match=r"pip install 'ruletide\[journal\]'"):
        await journal.query_entries(project="p", limit=1, message="a", message_mode="regex")
    assert len(await journal.query_entries(project="p", limit=1)) == 1


async def test_a_pattern_that_is_too_long_is_refused(journal: Journal) -> None:
    with pytest.raises(LimitExceededError):
        await journal.count_query_entries(project="p", message="x" * 2001, message_mode="regex")


async def test_a_search_that_takes_too_long_is_ended(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill(journal, 3)
    monkeypatch.setattr(journal, "_regex_seconds", -1.0)
    query: dict[str, Any] = {"project": "p", "message": "m", "message_mode": "regex"}
    with pytest.raises(PatternTimeoutError, match="regex_seconds") as caught:
        await journal.count_query_entries(**query)
    assert (caught.value.pattern, caught.value.seconds) == ("m", -1.0)
    monkeypatch.undo()
    assert await journal.count_query_entries(**query) == 3


def test_the_time_limit_holds_in_the_midst_of_many_messages() -> None:
    rows = ((number, number, "x" * 1000) for number in range(10_000_000))
    with pytest.raises(PatternTimeoutError):
        list(matching("(x+x+)+y", rows, 0.05, case_sensitive=False))


async def test_times_are_inclusive_and_know_their_zone(journal: Journal) -> None:
    await fill(journal, 5)

    def at(number: int) -> datetime:
        return START + timedelta(seconds=number)

    assert await found(journal, start=at(3).isoformat()) == {"e3", "e4"}
    assert await found(journal, end=at(1).isoformat()) == {"e0", "e1"}
    assert await found(journal, start=at(1), end=at(1)) == {"e1"}
    east = at(3).astimezone(timezone(timedelta(hours=9)))
    assert await found(journal, start=east, end=east.isoformat()) == {"e3"}
    assert await found(journal, start=at(2).replace(tzinfo=None)) == {"e2", "e3", "e4"}
    assert await found(journal, end="2026-03-01T12:00:01Z") == {"e0", "e1"}
    assert await found(journal, end="2026-03-01T12:00:00.999999Z") == {"e0"}
    assert await found(journal, start=at(3), end=at(2)) == set()
    assert await found(journal, start="", end=None) == {"e0", "e1", "e2", "e3", "e4"}


async def test_a_day_is_the_whole_day(journal: Journal) -> None:
    await fill(journal, 2)
    for day in ("2026-03-01", date(2026, 3, 1)):
        assert await found(journal, start=day, end=day) == {"e0", "e1"}
    assert await found(journal, start="2026-03-02") == set()
    assert await found(journal, end="2026-02-28") == set()


@pytest.mark.parametrize("bad", ["soon", "2026-13-01", 5, " "])
async def test_what_is_no_time_is_refused(journal: Journal, bad: Any) -> None:
    with pytest.raises(InvalidInputError, match="end"):
        await journal.query_entries(project="p", limit=1, end=bad)


async def test_agents_and_emojis_are_any_of_those_named(journal: Journal) -> None:
    await journal.upsert_project(**PROJECT)
    for number in range(12):
        await journal.insert_entry(
            **entry(number, agent=["ana", "bo", None][number % 3], emoji="✅⚠❌🧭"[number % 4])
        )
    assert await found(journal, agents=["ana"]) == {"e0", "e3", "e6", "e9"}
    assert len(await found(journal, agents=["bo", "ana", "bo"])) == 8
    assert await found(journal, agents=["bo"], emojis=["❌", "✅"]) == {"e4", "e10"}
    assert len(await found(journal, agents=[], emojis=())) == 12
    assert await found(journal, agents=["Ana"]) == set()
    assert await found(journal, emojis=["❌"], message="10") == {"e10"}


META: dict[str, dict[str, Any]] = {
    "text": {"n": "3", "k": "v", "a.b": 1},
    "int": {"n": 3, "k": "v", "flag": True},
    "float": {"n": 3.0, "k": "w", "flag": "true"},
    "nested": {"n": {"b": [1, 2.0], "a": None}, "none": None},
    "long": {"n": "x" * 5000, "\0": "\0"},
    "longer": {"n": "x" * 5001},
}


async def test_metadata_is_found_by_key_and_value(journal: Journal) -> None:
    await journal.upsert_project(**PROJECT)
    for number, (name, meta) in enumerate(META.items()):
        await journal.insert_entry(**entry(number, entry_id=name, meta=meta))
    cases: list[tuple[dict[str, Any], set[str]]] = [
        ({"n": "3"}, {"text", "int", "float"}),
        ({"n": 3}, {"int", "float"}),
        ({"n": 3.0, "k": "w"}, {"float"}),
        ({"k": "v", "n": 3}, {"int"}),
        ({"k": "v", "n": 3, "flag": False}, set()),
        ({"flag": True}, {"int"}),
        ({"flag": "true"}, {"int", "float"}),
        ({"a.b": 1}, {"text"}),
        ({"none": None}, set(META)),
        ({"n": ""}, set(META)),
        ({"n.b": [1.0, 2]}, {"nested"}),
        ({"n": {"a": None, "b": [1.0, 2]}}, {"nested"}),
        ({"n": "x" * 5000}, {"long"}),
        ({"\0": "\0"}, {"long"}),
        ({"N": 3}, set()),
        ({}, set(META)),
    ]
    for wanted, expected in cases:
        assert await found(journal, meta_filters=wanted) == expected, wanted
        filters = {f"meta.{key}": value for key, value in wanted.items()}
        entries = await journal.fetch_recent_entries(project="p", limit=9, filters=filters)
        assert set(ids(entries)) == expected
        assert await journal.count_entries("p", filters) == len(expected)
    assert await found(journal, meta_filters={"k": "v"}, agents=["ana"], message="1") == {"int"}


async def test_filters_by_agent_emoji_and_metadata_are_all_met(journal: Journal) -> None:
    await fill(journal, 4)
    filters = {"agent": "ana", "emoji": "✅", "meta.number": 2}
    assert ids(await journal.fetch_recent_entries(project="p", limit=5, filters=filters)) == ["e2"]
    assert await journal.count_entries("p", {**filters, "agent": "bo"}) == 0


@pytest.mark.parametrize(
    "filters", [{"colour": "red"}, {"meta.": 1}, {"agent": 3}, {"emoji": 3}, ["agent"], "agent"]
)
async def test_an_unknown_filter_is_refused(journal: Journal, filters: Any) -> None:
    with pytest.raises(InvalidInputError):
        await journal.count_entries("p", filters)


async def test_an_unknown_mode_is_refused(journal: Journal) -> None:
    mode: Any = "glob"
    with pytest.raises(InvalidInputError, match="substring, exact, regex"):
        await journal.query_entries(project="p", limit=1, message="x", message_mode=mode)


@pytest.mark.parametrize(
    "changes", [{"limit": -1}, {"limit": None}, {"limit": True}, {"offset": -1}, {"as_of": -1}]
)
async def test_what_is_no_number_of_entries_is_refused(
    journal: Journal, changes: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInputError):
        await journal.fetch_recent_entries(**{"project": "p", "limit": 1, **changes})
    with pytest.raises(InvalidInputError):
        await journal.fetch_recent_entries_paginated(project="p", page=0)
