"""Every page of the console, and every act, as a reader sees and does them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from eventstore import NewEvent
from eventstore.server._hour_samples import LastHour
from projections.rules import RuleStore
from projections.rules.holds import hold_rules

if TYPE_CHECKING:
    from browser.pages import Console

HOSTILE = "<img src=x onerror=\"document.title='taken'\"><script>document.title='taken'</script>"


def test_a_wrong_token_is_refused_and_a_right_one_signs_in_until_the_reader_leaves(
    console: Console,
) -> None:
    console.expect("401")
    console.open()
    console.find("#token").send_keys("wrong")
    console.press("Sign in")
    console.until(lambda: "no such token" in console.text("[role=alert]"))
    assert not console.find("#pages").is_displayed()
    console.sign_in("read")
    console.until(lambda: "Everything that is checked is well." in console.text())
    assert console.texts("nav a") == ["Overview", "Rules", "Timeline", "Fleet", "Integrity"]
    assert console.script("return document.cookie") == ""
    assert (
        console.script("return Object.keys(localStorage).concat(Object.keys(sessionStorage))") == []
    )
    console.press("Sign out")
    console.find("#token")
    console.open("rules")
    assert console.find("#token").is_displayed()


def test_the_overview_says_what_is_not_well_and_keeps_up(console: Console) -> None:
    console.sign_in()
    console.until(lambda: "Position\n1" in console.text())
    console.define("r1")
    console.append("source/s", NewEvent("RuleRejected", {"source": "s", "path": "bad.yml",
        "sha256": "0" * 64, "reason": "it is not YAML"}))  # fmt: skip
    console.until(lambda: "Position\n3" in console.text())
    console.until(lambda: "it is not YAML" in console.text(".card.bad"))


def test_the_overview_plots_the_last_hour_and_says_what_it_does_not_know(console: Console) -> None:
    hour = console.server.gateway.hour = LastHour(console.store)
    console.run(hour.take)
    console.append("a/1", NewEvent("Happened", 1), NewEvent("Happened", 2))
    console.run(hour.take)
    console.sign_in()
    console.until(lambda: len(console.all(".plot polyline")) >= 2)
    names = console.script(  # At once: the page makes its plots anew again and again.
        "return [...document.querySelectorAll('.plot svg')].map((one) => one.ariaLabel)"
    )
    assert names[0].startswith("Head: 2 now, 0 to 2 since")
    assert "events a second now" in names[1]
    assert names[2] == "Lag of the slowest consumer: nothing known yet"
    assert "knows of nothing before" in console.text()


def test_rules_are_found_by_words_state_source_and_tactic(console: Console) -> None:
    emits = [{"technique_id": "T1", "sub_technique_id": None, "tactic": "impact", "confidence": 1}]
    console.define("apple", "pear", name="Fruit")
    console.define("nail", name="Iron", source="other", emits=emits)
    console.append("rule-state/pear", NewEvent("RuleStateSet", {
        "rule_id": "pear", "state": {"state": "disabled", "set_by": "ana"}}))  # fmt: skip
    console.sign_in()
    console.open("rules")

    def shown() -> list[str]:
        return console.texts(".rows a")

    console.until(lambda: shown() == ["apple", "nail", "pear"])
    console.write("#words", "FRUIT a")
    console.until(lambda: shown() == ["apple", "pear"])
    assert console.text("[role=status]") == "2 of 3 rules"
    console.choose("#state", "disabled")
    console.until(lambda: shown() == ["pear"])
    console.choose("#state", "")
    console.write("#words", "i")
    console.choose("#tactic", "impact")
    console.until(lambda: shown() == ["nail"])
    console.choose("#source", "s")
    console.until(lambda: shown() == [])


def test_rules_that_are_held_are_said_to_be(console: Console) -> None:
    console.define("r1", name="First")
    console.run(partial(hold_rules, console.store, 1, by="ana"))
    console.define("r1", name="Second")
    console.sign_in()
    console.until(lambda: "rules are held at position 1 since" in console.text())
    console.open("rules")
    console.until(lambda: "these are those of position 1" in console.text(".card.bad"))
    console.until(lambda: "First" in console.text(".rows"))


def test_rules_whose_file_is_rejected_are_found_and_files_without_a_rule_are_listed(
    console: Console,
) -> None:
    console.define("good", "late")
    for path in ("late.yml", "never.yml"):
        console.append("source/s", NewEvent("RuleRejected", {"source": "s", "path": path,
            "sha256": "0" * 64, "reason": "it is not YAML"}))  # fmt: skip
    console.sign_in()
    console.open("rules")
    console.until(lambda: console.texts(".rows a") == ["good", "late"])
    assert console.texts(".card.bad li") == ["s: never.yml: it is not YAML"]
    console.choose("#file", "rejected")
    console.until(lambda: console.texts(".rows a") == ["late"])
    console.open_rule("late")
    assert "it is not YAML" in console.text(".card.bad")


def test_a_rule_shows_its_file_and_its_history_also_when_it_is_removed(console: Console) -> None:
    console.expect("404")
    console.define("r/1 %", name="First")
    console.define("r/1 %", name="Second")
    console.sign_in()
    console.open_rule("r/1 %")
    assert console.text("h2") == "Second"
    console.find("summary").click()
    console.until(lambda: console.text("pre") == "rule_id: r/1 %")
    assert len(console.all(".past li")) == 2
    removal = {"rule_id": "r/1 %", "path": "r.yml", "source": "s"}
    console.append("rule/r/1 %", NewEvent("RuleRemoved", removal))
    console.open_rule("r/1 %")
    assert console.text(".card.bad") == "This rule was removed."
    assert console.text(".past li").endswith("removed")
    console.open_rule("never")
    assert "ever defined" in console.text(".card.bad")


def test_a_switch_takes_effect_by_the_tokens_name_and_shows(console: Console) -> None:
    console.define("r1")
    console.sign_in("read", "state")
    console.open_rule("r1")
    console.choose("#wanted", "clipped")
    console.write("#most", "0.25")
    console.write("#reason", "it fires too often")
    console.write("#hours", "2")
    console.press("Set the state")
    console.until(lambda: "clipped up to 0.25 by op: it fires too often" in console.text(".facts"))
    assert "r1 is clipped from position" in console.text("#news")

    async def last() -> Any:
        return [event async for event in console.store.read(backwards=True)][0]  # noqa: RUF015

    event = console.run(last)
    assert event.stream == "rule-state/r1"
    assert event.data["state"]["set_by"] == "op"
    assert event.data["state"]["expires_at"]


def test_of_two_who_switch_at_once_the_second_is_told(console: Console) -> None:
    console.expect("409")
    console.define("r1")
    console.sign_in("read", "state")
    console.open_rule("r1")
    console.append("rule-state/r1", NewEvent("RuleStateSet", {
        "rule_id": "r1", "state": {"state": "disabled", "set_by": "ben"}}))  # fmt: skip
    console.write("#reason", "mine")
    console.press("Set the state")
    console.until(lambda: "nothing was done" in console.text("#news"))
    console.until(lambda: "by ben" in console.text(".facts"))


def test_who_may_only_read_sees_no_switch(console: Console) -> None:
    console.define("r1")
    console.sign_in("read")
    console.open_rule("r1")
    assert [one.text for one in console.all("button")] == ["Sign out"]


def test_the_timeline_shows_what_was_and_what_comes_and_may_be_held(console: Console) -> None:
    console.append("a/1", NewEvent("Happened", {"n": 1}))
    console.sign_in()
    console.open("timeline")
    console.until(lambda: console.text(".filters [role=status]") == "live")
    console.until(lambda: len(console.all(".events li")) == 2)
    console.append("a/1", NewEvent("Happened", {"n": 2}))
    console.until(lambda: "a/1" in console.text(".events li"))
    console.press("Hold")
    console.append("b/1", NewEvent("Other", {"n": 3}))
    console.append("b/1", NewEvent("Last", {"n": 4}))
    assert len(console.all(".events li")) == 3
    console.press("Hold")
    console.until(lambda: "Last" in console.text(".events li"))
    console.all(".events summary")[0].click()
    console.until(lambda: '"n": 4' in console.text(".events pre"))
    console.write("#streams", "a/")
    console.press("Follow")
    console.until(lambda: len(console.all(".events li")) == 2)


def test_the_fleet_shows_those_first_that_run_other_rules(console: Console) -> None:
    console.define("r1")
    rules = RuleStore(console.store)

    async def tell(worker: str, *, whole: bool) -> None:
        loaded = await rules.load_compiled() if whole else []
        await rules.report_loaded(loaded, worker=worker, engine="mine", version="7")

    console.run(partial(tell, "good", whole=True))
    console.run(partial(tell, "poor", whole=False))
    console.sign_in()
    console.open("fleet")
    console.until(lambda: console.texts(".rows [role=cell]")[:1] == ["poor"])
    assert console.text("[role=status]").startswith("2 workers: 1 ")
    assert "r1 missing" in console.texts(".rows [role=cell]")[6]
    assert len(console.all(".squares .current")) == 1
    console.write("#words", "good")
    console.until(lambda: console.texts(".rows [role=cell]")[:1] == ["good"])
    console.open_rule("r1")
    console.until(lambda: console.text("#who-has [role=status]").startswith("1 of 2 workers"))
    assert console.texts("#who-has td")[:2] == ["poor", "differs"]
    console.run(partial(tell, "poor", whole=True))
    console.until(lambda: console.text("#who-has [role=status]").startswith("2 of 2 workers"))


@pytest.mark.parametrize(
    "page",
    ["overview", "rules", "rules/RULE", "timeline", "timeline/compare/0/now", "fleet", "integrity"],
)
def test_what_is_in_the_log_is_text_and_nothing_else(console: Console, page: str) -> None:
    rule = f"r{HOSTILE}"
    console.define(rule, name=HOSTILE, description=HOSTILE, source=HOSTILE)
    console.append(f"rule-state/{rule}", NewEvent("RuleStateSet", {"rule_id": rule, "state": {
        "state": "disabled", "set_by": HOSTILE, "reason": HOSTILE}}))  # fmt: skip
    console.append(f"a/{HOSTILE}", NewEvent(HOSTILE, HOSTILE))
    done = console.run(console.store.append, "b/1", [NewEvent("Happened", 1)])
    console.run(console.store.redact, done.position, HOSTILE, HOSTILE)
    console.append("source/s", NewEvent("RuleRejected", {"source": HOSTILE, "path": HOSTILE,
        "sha256": "0" * 64, "reason": HOSTILE}))  # fmt: skip

    async def come() -> None:
        async with console.store.subscribe_changes(consumer=HOSTILE[:60]) as changes:
            await anext(changes)
            await changes.ack()

    console.run(come)
    console.sign_in("read", "state")
    if page == "rules/RULE":
        console.open_rule(rule)
    else:
        console.open(page)
    console.until(lambda: "<img src=x" in console.text())
    assert console.all("main img, main script") == []
    assert "taken" not in console.script("return document.title").replace(HOSTILE, "")
