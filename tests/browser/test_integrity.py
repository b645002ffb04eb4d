"""Integrity in the console: a verification from its start to what it finds, redactions, trims."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.verifications import Held

from eventstore import NewEvent

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from browser.pages import Console


def test_a_verification_is_started_and_tells_an_anchor_that_the_next_one_takes(
    console: Console,
) -> None:
    console.append("a/1", NewEvent("Happened", 1))
    console.sign_in("admin")
    console.open("integrity")
    console.until(lambda: "has verified nothing yet" in console.text())
    console.press("Verify")
    console.until(lambda: "2 events up to position 2: all as written" in console.text())
    anchor = console.text(".anchor")
    assert anchor.startswith(console.store.feed.log.newest.log_id)
    console.write("#anchor", f"{anchor[:-64]}{'0' * 64}")
    console.press("Verify")
    console.until(lambda: "1 findings" in console.text("[role=alert]"))
    assert "the history was rewritten" in console.text(".findings")


def test_a_verification_shows_how_far_it_is_and_is_cancelled(
    console: Console, monkeypatch: pytest.MonkeyPatch
) -> None:
    console.sign_in("admin")
    console.open("integrity")
    Held(monkeypatch)
    console.press("Verify")
    console.until(lambda: "Position 1 of 4" in console.text("main [role=status]"))
    bar = console.find("progress")
    assert (bar.get_attribute("value"), bar.get_attribute("max")) == ("1", "4")
    assert "Verify" not in console.texts("button")
    console.press("Cancel")
    console.until(lambda: "It was cancelled." in console.text())
    console.until(lambda: "Verify" in console.texts("button"))


def test_what_was_redacted_and_trimmed_is_listed_also_to_those_who_may_only_read(
    console: Console, tmp_path: Path
) -> None:
    for number in range(4):
        console.append("a/1", NewEvent("Happened", number))
    console.run(console.store.redact, 4, "asked for", "ana")

    async def trim() -> None:
        await console.store.trim(3, archive=tmp_path / "old.archive", reason="a year old", by="ben")

    console.run(trim)
    console.sign_in()
    console.open("integrity")
    console.until(lambda: "old.archive a year old ben" in console.text())
    assert "4 a/1 Happened asked for ana" in console.text()
    assert [one.text for one in console.all("button")] == ["Sign out"]
