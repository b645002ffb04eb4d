"""Sigma files of several rules, and rules that refer to each other, from files to engines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.master import fill, logged, rejected
from support.rule_log import files_below
from support.sigma import correlation, detection, sigma_file

from eventstore import Event, EventStore, NewEvent
from projections import DirectoryProjection, ProjectionRunner
from projections.rules import CompiledRule, RuleState, RuleStore, RuleSync
from projections.rules.sources.check import check_rules

if TYPE_CHECKING:
    from pathlib import Path

    from projections.rules import SyncReport

pytestmark = pytest.mark.anyio

BASE = "aaaaaaaa-0000-4000-8000-000000000001"
OTHER = "aaaaaaaa-0000-4000-8000-000000000002"
LINKED = "bbbbbbbb-0000-4000-8000-000000000001"
TECHNIQUE = "tags: [attack.t1110, attack.credential-access]\n"

base = detection("Failed logon", f"id: {BASE}\nname: failed_logon\n{TECHNIQUE}")
linked = correlation("Many", f"id: {LINKED}\n{TECHNIQUE}", rules="[failed_logon]")


class Source:
    """A directory of Sigma rules and its log; each look is that of a master just started."""

    def __init__(self, store: EventStore, root: Path) -> None:
        self.store, self.root = store, root

    async def look(self, files: dict[str, str | None] | None = None) -> SyncReport:
        """Write files (None removes one), and look."""
        for path, text in (files or {}).items():
            if text is None:
                (self.root / path).unlink()
            else:
                fill(self.root, {path: text})
        return await RuleSync(self.store, self.root, format="sigma", source="s").sync_once()

    async def rules(self) -> dict[str, CompiledRule]:
        return {rule.rule_id: rule for rule in await RuleStore(self.store).load_compiled()}

    async def fires(self) -> set[str]:
        """Return the rules that fire by themselves."""
        return {rule.rule_id for rule in (await self.rules()).values() if rule.emits}

    async def projected(self, tmp_path: Path) -> dict[str, bytes]:
        """Project from nothing, and where an earlier projection ended: both are the same."""
        found = []
        for name in ("followed", f"fresh-{(await self.store.head()).position}"):
            live = tmp_path / name
            await ProjectionRunner(self.store, DirectoryProjection(live, fsync=False)).catch_up()
            found.append(files_below(live))
        assert found[0] == found[1]
        return found[0]

    async def define_both(self) -> tuple[str, list[Event]]:
        """Look at a file of both rules; return its content, and the events that define them."""
        content = sigma_file(base, linked)
        await self.look({"a.yml": content})
        return content, await logged(self.store, "RuleDefined")


@pytest.fixture
def source(store: EventStore, root: Path) -> Source:
    return Source(store, root)


async def test_a_base_rule_does_not_fire_beside_its_correlation(source: Source) -> None:
    report = await source.look({"a.yml": sigma_file(base, linked)})
    assert (report.defined, report.rejected) == (1, 0)
    rules = await source.rules()
    assert rules.keys() == {BASE, LINKED}
    assert rules[BASE].applies_to == {"product:windows"}
    assert rules[BASE].emits == ()
    assert rules[BASE].match_spec["base_of"] == [LINKED]
    assert rules[BASE].match_spec["detection"]["condition"] == "s"
    assert rules[LINKED].match_spec["rules"] == [BASE]
    assert rules[LINKED].emits[0][0] == "T1110"
    assert (await source.look()).position is None


async def test_a_base_rule_fires_where_the_correlation_lets_it(source: Source) -> None:
    await source.look(
        {"a.yml": sigma_file(base, linked.replace("rules:", "generate: true, rules:"))}
    )
    assert await source.fires() == {BASE, LINKED}
    assert "condition" in (await source.rules())[BASE].match_spec


@pytest.mark.parametrize("reference", ["failed_logon", BASE, BASE.upper(), f"'{{{BASE}}}'"])
async def test_a_reference_is_a_name_or_an_id_in_any_spelling(
    source: Source, reference: str
) -> None:
    await source.look({"a.yml": base})
    assert await source.fires() == {BASE}
    report = await source.look({"sub/b.yml": linked.replace("failed_logon", reference)})
    assert (report.defined, report.rejected) == (2, 0), "the base is another rule now"
    assert await source.fires() == {LINKED}
    assert (await source.look()).position is None
    await source.look({"sub/b.yml": None})
    assert await source.fires() == {BASE}


async def test_a_reference_to_nothing_is_rejected_until_the_rule_is_there(source: Source) -> None:
    report = await source.look({"b.yml": linked})
    assert (report.defined, report.rejected) == (0, 1)
    reason = f"rule {LINKED!r} refers to 'failed_logon', and no rule of this source is called that"
    assert await rejected(source.store) == {"b.yml": reason}
    assert check_rules(source.root, format="sigma").findings[0].reason == reason
    report = await source.look({"a.yml": base})
    assert (report.defined, report.rejected) == (2, 0)
    assert await rejected(source.store) == {}
    report = await source.look({"a.yml": None})
    assert (report.removed, report.rejected) == (1, 1)
    assert set(await source.rules()) == {LINKED}, "the last good version stays"
    assert (await source.look()).position is None


async def test_references_of_other_sources_lead_nowhere(store: EventStore, root: Path) -> None:
    fill(root, {"one/a.yml": base, "two/b.yml": linked})
    for name in ("one", "two"):
        report = await RuleSync(store, root / name, format="sigma", source=name).sync_once()
    assert report.rejected == 1


async def test_a_chain_of_correlations_fires_at_its_end(source: Source) -> None:
    middle = linked.replace("title", "name: many\ntitle", 1)
    end = correlation("End", f"id: {OTHER}\n{TECHNIQUE}", rules="[many]")
    await source.look({"a.yml": base, "b.yml": middle, "c.yml": end})
    assert await source.fires() == {OTHER}
    assert (await source.rules())[LINKED].match_spec["base_of"] == [OTHER]


@pytest.mark.parametrize("to", ["[self]", "[other]"])
async def test_a_correlation_that_leads_to_itself_is_rejected(source: Source, to: str) -> None:
    one = correlation("One", "name: self\n", rules=to)
    other = correlation("Other", "name: other\n", rules="[self]")
    await source.look({"a.yml": sigma_file(one, other) if to == "[other]" else one})
    (reason,) = (await rejected(source.store)).values()
    assert "refers to itself" in reason


async def test_a_broken_base_keeps_its_correlation(source: Source) -> None:
    await source.look({"a.yml": base, "b.yml": linked})
    report = await source.look({"a.yml": "title: ["})
    assert (report.rejected, report.unchanged) == (1, 1)
    assert await source.fires() == {LINKED}


async def test_a_name_is_looked_for_in_the_same_file_first(source: Source) -> None:
    twin = detection("Twin", f"id: {OTHER}\nname: failed_logon\n{TECHNIQUE}")
    await source.look({"a.yml": sigma_file(base, linked), "b.yml": twin})
    assert await source.fires() == {OTHER, LINKED}


async def test_a_filter_is_known_and_touches_nothing_else(source: Source) -> None:
    filter_ = (
        f"title: F\nid: {OTHER}\nlogsource: {{product: windows}}\n"
        "filter: {rules: [failed_logon], s: {User: x}, condition: not s}\n"
    )
    await source.look({"a.yml": sigma_file(base, filter_)})
    rules = await source.rules()
    assert rules[OTHER].applies_to == {"filter"}
    assert rules[OTHER].match_spec["rules"] == [BASE]
    assert await source.fires() == {BASE}


async def test_a_filter_for_rules_elsewhere_is_taken_and_remarked(source: Source) -> None:
    filter_ = (
        f"title: F\nid: {OTHER}\nlogsource: {{product: windows}}\n"
        "filter: {rules: [elsewhere], s: {User: x}, condition: not s}\n"
    )
    report = await source.look({"a.yml": sigma_file(base, filter_)})
    assert (report.defined, report.rejected) == (1, 0), "the good document is taken with it"
    assert (await source.rules())[OTHER].match_spec["rules"] == []
    assert await source.fires() == {BASE}
    (finding,) = check_rules(source.root, format="sigma").findings
    assert "refers to 'elsewhere'" in finding.reason


async def test_a_file_is_stored_once_and_its_rules_go_with_it(
    source: Source, tmp_path: Path
) -> None:
    content, (first, second) = await source.define_both()
    assert first.commit == second.commit
    assert first.data["content"] == content
    assert second.data["content_in"] == first.stream
    assert "content" not in second.data
    assert first.data["sha256"] == second.data["sha256"]
    assert await source.projected(tmp_path) == {"a.yml": content.encode()}
    await source.look({"a.yml": None, "b.yml": content})
    moved = (await logged(source.store, "RuleDefined"))[2:]
    assert [event.data["previous_path"] for event in moved] == ["a.yml", "a.yml"]
    assert await source.projected(tmp_path) == {"b.yml": content.encode()}
    report = await source.look({"b.yml": base})
    assert (report.defined, report.removed) == (1, 1)
    assert await source.projected(tmp_path) == {"b.yml": base.encode()}


@pytest.mark.parametrize("kept", [0, 1])
async def test_the_file_stays_when_one_of_its_rules_goes(
    source: Source, tmp_path: Path, kept: int
) -> None:
    documents = [base, detection("Other", f"id: {OTHER}\n")]
    await source.look({"a.yml": sigma_file(*documents)})
    await source.projected(tmp_path)
    await source.look({"a.yml": documents[kept]})
    assert set(await source.rules()) == {[BASE, OTHER][kept]}
    assert await source.projected(tmp_path) == {"a.yml": documents[kept].encode()}


async def test_swapped_documents_are_the_same_rules(source: Source, tmp_path: Path) -> None:
    await source.look({"a.yml": sigma_file(base, linked)})
    await RuleStore(source.store).set_state(LINKED, RuleState("disabled"), set_by="ana")
    before = await source.rules()
    swapped = sigma_file(linked, base)
    report = await source.look({"a.yml": swapped})
    assert (report.defined, report.removed) == (1, 0)
    assert await source.rules() == before
    assert before[LINKED].state.state == "disabled"
    assert await source.projected(tmp_path) == {"a.yml": swapped.encode()}


async def test_an_id_in_another_spelling_is_the_same_rule(source: Source) -> None:
    await source.look({"a.yml": base})
    await RuleStore(source.store).set_state(BASE, RuleState("disabled"), set_by="ana")
    report = await source.look({"a.yml": base.replace(BASE, BASE.upper())})
    assert (report.defined, report.removed) == (1, 0)
    assert (await source.rules())[BASE].state.state == "disabled"
    report = await source.look({"b.yml": detection("Twin", f"id: '{{{BASE}}}'\n")})
    assert report.rejected == 1


async def test_an_id_that_stands_in_another_spelling_keeps_it(source: Source) -> None:
    await source.look({"a.yml": base})
    (defined,) = await logged(source.store, "RuleDefined")
    earlier = BASE.upper()
    data: dict[str, Any] = dict(defined.data) | {"rule_id": earlier}
    data["rule"] = data["rule"] | {"rule_id": earlier}
    await source.store.append(f"rule/{BASE}", [NewEvent("RuleRemoved", {"rule_id": BASE})])
    await source.store.append(f"rule/{earlier}", [NewEvent("RuleDefined", data)])
    await source.look({"a.yml": base.replace("Failed", "No")})
    rules = await source.rules()
    assert [rule.name for rule in rules.values()] == ["No logon"]
    assert set(rules) == {earlier}


async def test_one_taken_id_rejects_the_whole_file(source: Source) -> None:
    await source.look({"a.yml": base})
    report = await source.look({"b.yml": sigma_file(detection("X", f"id: {OTHER}\n"), base)})
    assert (report.defined, report.rejected, report.unchanged) == (0, 1, 1)
    assert "is already taken by 'a.yml'" in (await rejected(source.store))["b.yml"]


async def test_a_redacted_file_is_defined_again_as_a_whole(source: Source, tmp_path: Path) -> None:
    content, (first, _) = await source.define_both()
    await source.store.redact(first.position, reason="a secret")
    assert await source.projected(tmp_path) == {}
    assert (await source.look()).defined == 1
    assert set(await source.rules()) == {BASE, LINKED}
    assert await source.projected(tmp_path) == {"a.yml": content.encode()}


async def test_a_collection_of_an_earlier_version_is_defined_anew_at_once(
    source: Source, tmp_path: Path
) -> None:
    content, (carrier, _) = await source.define_both()
    earlier = {key: carrier.data[key] for key in ("path", "source", "format", "sha256", "content")}
    whole: dict[str, Any] = {
        "collection": [{"logsource": {}, "detection": {}}, {"correlation": {}}]
    }
    rule = dict(carrier.data["rule"]) | {"match_spec": whole, "rule_id": BASE}
    await source.store.append(f"rule/{LINKED}", [NewEvent("RuleRemoved", {"rule_id": LINKED})])
    await source.store.append(
        f"rule/{BASE}", [NewEvent("RuleDefined", earlier | {"rule_id": BASE, "rule": rule})]
    )
    assert (await source.rules())[BASE].match_spec == whole
    before = (await source.store.head()).position
    assert (await source.look()).defined == 1
    events = [event async for event in source.store.read(after=before)]
    assert [(event.type, event.stream) for event in events] == [
        ("RuleDefined", f"rule/{BASE}"),
        ("RuleDefined", f"rule/{LINKED}"),
    ]
    assert len({event.commit for event in events}) == 1
    assert await source.fires() == {LINKED}
    assert (await source.look()).position is None
    assert await source.projected(tmp_path) == {"a.yml": content.encode()}


async def test_a_condition_without_its_selection_is_a_finding_of_the_check(
    source: Source,
) -> None:
    fill(source.root, {"a.yml": base.replace("condition: s", "condition: other")})
    report = check_rules(source.root, format="sigma")
    (finding,) = report.findings
    assert (finding.path, finding.line) == ("a.yml", 6)
    assert "speaks of 'other', and there is no such selection" in finding.reason
    assert (await source.look()).rejected == 0, "a master takes it, as it always has"
