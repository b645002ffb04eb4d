"""The past in the console: versions, lines, moments compared, and the way back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from projections.rules.sources.lease import SourceLock

if TYPE_CHECKING:
    from browser.pages import Console
    from eventstore import Event


def last_event(console: Console) -> Event:
    async def last() -> Any:
        return [event async for event in console.store.read(backwards=True, limit=1)][0]  # noqa: RUF015

    event: Event = console.run(last)
    return event


def test_a_rule_shows_what_each_version_changed_and_who_wrote_each_line(console: Console) -> None:
    for text in ("one\ntwo\n", "one\nTWO\n", "one\n  TWO\nthree\n"):
        console.define("r1", content=text)
    console.sign_in()
    console.open_rule("r1")
    console.unfold("What it changed")
    console.until(lambda: console.text(".past .diff").endswith("+three"))
    assert console.texts(".past .diff .removed") == ["-TWO"]
    console.choose("#old", "1")
    console.press("Compare")
    console.until(lambda: console.texts("form .diff .removed") == ["-two"])
    assert console.texts("form .diff .added") == ["+  TWO", "+three"]
    console.unfold("Who wrote each line")
    console.until(lambda: len(console.all("tbody tr")) == 3)
    positions = [row.split()[-1] for row in console.texts("tbody tr")]
    assert positions == ["1", "3", "3"]


def test_two_moments_are_compared_and_a_rule_goes_back(console: Console) -> None:
    console.define("r1", "r2", content="good\n")
    console.define("r1", content="bad\n")
    console.sign_in("read", "append")
    console.open("timeline")
    console.until(lambda: "Compare two moments" in console.text())
    console.find("a[href='#/timeline/compare']").click()
    console.write("#from", "2")
    console.press("Compare")
    console.until(lambda: console.texts(".differences summary") == ["changed r1 r1.yml +1 -1"])
    assert console.text("main [role=status]").startswith("1 changed between position 2 and")
    console.find(".differences summary").click()
    console.until(lambda: console.texts(".differences .added") == ["+bad"])
    console.press("Revert…")
    console.until(lambda: console.texts(".revert .added") == ["+good"])
    assert "the next sync of s takes the word of the files" in console.text(".revert")
    console.write("#reason", "it fired")
    console.press("Revert")
    console.until(lambda: "Nothing differs" in console.text("main [role=status]"))
    event = last_event(console)
    assert event.stream == "rule/r1"
    assert event.metadata == {"by": "op", "reason": "it fired", "reverted_to": 2}


def test_a_source_that_a_master_follows_is_not_reverted_and_the_page_says_why(
    console: Console,
) -> None:
    console.define("r1", content="good\n")
    console.define("r1", content="bad\n")
    lock = SourceLock(console.store, "s")
    assert lock.try_acquire()
    console.sign_in("read", "append")
    console.open("timeline/compare/1/now")
    console.write("#target", "s")
    console.press("Show what it would do")
    console.until(lambda: "which takes the word of the files" in console.text(".revert .bad"))
    assert "Revert" not in console.texts(".revert button")
    lock.release()


def test_what_a_revert_would_do_is_not_done_once_it_has_changed(console: Console) -> None:
    console.expect("409")
    console.define("r1", content="good\n")
    console.define("r1", content="bad\n")
    console.sign_in("read", "append")
    console.open("timeline/compare/1/now")
    console.press("Revert…")
    console.write("#reason", "it fired")
    console.define("r1", content="worse\n")
    console.press("Revert")
    console.until(lambda: "has changed since it was shown" in console.text(".revert [role=alert]"))
    assert last_event(console).data["content"] == "worse\n"


def test_a_token_that_may_only_read_compares_and_has_no_way_back(console: Console) -> None:
    console.expect("404")
    console.define("r1")
    console.sign_in("read")
    console.open("timeline/compare/0/now")
    console.until(lambda: console.texts(".differences summary") == ["added r1 r1.yml +1 -0"])
    assert [one.text for one in console.all("button")] == ["Sign out", "Compare"]
    console.write("#from", "tag:none")
    console.press("Compare")
    console.until(lambda: "no tag has this name" in console.text("[role=alert]"))
