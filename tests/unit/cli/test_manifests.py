"""Manifests say what is there, and refuse what cannot be used."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest

from eventstore.cli import manifest as manifests
from eventstore.cli.contributions import Contribution, Contributions, contributions
from eventstore.cli.lazy_commands import make_command
from eventstore.cli.manifest import ManifestError
from eventstore.errors import ConfigError
from eventstore.log.redaction import EVENT_REDACTED
from eventstore.log.tags import MOMENT_TAGGED
from projections.rules import events as rule_events


def test_every_path_of_our_own_manifests_can_be_imported() -> None:
    found = contributions()
    every = [*found.commands.values(), *found.event_lines.values(),
             *found.status_sections.values(), *found.rebuilds.values(),
             *found.checkpoints.values(), *found.views.values()]  # fmt: skip
    assert len(every) > 30
    for one in every:
        assert callable(one.load(one.item.path))  # type: ignore[attr-defined]
    assert found.warnings == []


def test_commands_of_one_module_are_functions_by_the_last_words_of_their_names() -> None:
    assert manifests.commands_of("a.b", {"order": "x", "order cancel": "y", "import": "z"}) == (
        manifests.Command("order", "x", "a.b:order"),
        manifests.Command("order cancel", "y", "a.b:cancel"),
        manifests.Command("import", "z", "a.b:import_"),
    )


def test_manifests_name_the_event_types_and_streams_that_are_written() -> None:
    ours = {type_ for type_, _ in contributions().event_lines}
    types = {value for name, value in vars(rule_events).items() if name in {
        "RULE_DEFINED", "RULE_REMOVED", "RULE_REJECTED", "REJECTION_ENDED", "RULE_STATE_SET",
        "RULE_STATE_EXPIRED", "SOURCE_RENAMED", "RULES_HELD", "RULES_RELEASED"}}  # fmt: skip
    assert ours == types | {EVENT_REDACTED, MOMENT_TAGGED}
    assert contributions().history_categories == [rule_events.RULES, rule_events.STATES]


@pytest.mark.parametrize(
    "code",
    ["orders = 7", "async def orders(): ...", "async def orders(session, url: str): ...",
     "async def orders(session, x: 'NotThere'): ..."],
)  # fmt: skip
def test_a_function_that_is_no_command_is_named(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    module = ModuleType("acme_code")
    exec(code, vars(module))
    monkeypatch.setitem(sys.modules, "acme_code", module)
    command = manifests.Command("orders", "Count the orders.", "acme_code:orders")
    with pytest.raises(ConfigError, match=r"^distribution 'acme': acme_code:orders is no command"):
        make_command(Contribution(command, "acme", "Orders"))


def test_two_manifests_of_one_event_type_in_two_categories_are_both_kept() -> None:
    found = Contributions()
    for streams in ("order/", "bet/"):
        lines = manifests.EventLines(("Placed",), "a.b:c", streams)
        found.add(manifests.Manifest(title="x", event_lines=(lines,)), streams)
    assert found.warnings == []
    assert len(found.event_lines) == 2


@pytest.mark.parametrize(
    "make",
    [
        lambda: manifests.Command("Loud Name", "Help.", "a.b:c"),
        lambda: manifests.Command("name", "two\nlines", "a.b:c"),
        lambda: manifests.Command("name", "\x1b[31m", "a.b:c"),
        lambda: manifests.Command("name", "Help.", "a.b.c"),
        lambda: manifests.EventLines((), "a.b:c"),
        lambda: manifests.EventLines("Placed", "a.b:c"),  # type: ignore[arg-type]
        lambda: manifests.StatusSection("no-key", "a.b:c"),
        lambda: manifests.StatusSection("shops", "a.b:c", check_option="--shop"),
        lambda: manifests.Rebuild("totals", "a.b:c", directory=False, database=False),
        lambda: manifests.Checkpoints((), "a.b:c"),
        lambda: manifests.Keeper(""),
        lambda: manifests.View("two\nlines", "a.b:c"),
        lambda: manifests.View("totals", "a.b:c", upcasters="a.b"),
        lambda: manifests.Manifest(title=""),
        lambda: manifests.Manifest(title="x", commands=[]),  # type: ignore[arg-type]
        lambda: manifests.Manifest(title="x", keepers=(1,)),  # type: ignore[arg-type]
    ],
    ids=[
        "name",
        "two-lines",
        "escape",
        "path",
        "no-types",
        "one-text",
        "no-key",
        "no-help",
        "no-place",
        "no-schemes",
        "no-path",
        "view-name",
        "upcasters",
        "no-title",
        "a-list",
        "no-keeper",
    ],
)
def test_what_cannot_be_used_is_refused(make: object) -> None:
    with pytest.raises(ManifestError):
        make()  # type: ignore[operator]
