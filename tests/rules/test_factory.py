"""get_rule_store: what is chosen, when it opens, who may call it, and how it ends."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import anyio
import pytest
import trio
from support.commands import environment
from support.master import fill, ttp
from support.processes import words
from support.waiting import eventually, take

from eventstore import ConfigError, EventStore, StorageError, StoreClosedError
from projections.rules import RuleState, RuleTypes, SharedRuleStore, get_rule_store
from projections.rules.sources.debounce import DebounceTimes
from projections.rules.sources.lease import source_owners
from projections.seams.background_loop import close_background_loop, get_background_loop

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def somewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Start in an empty directory without settings; close what was opened."""
    monkeypatch.chdir(tmp_path)
    for name in ("EVENTSTORE_RULE_STORE_TYPE", "EVENTSTORE_RULES_DIR", "EVENTSTORE_URL"):
        monkeypatch.delenv(name, raising=False)
    yield
    close_background_loop()


@pytest.fixture
def rules() -> SharedRuleStore:
    """Give the store of a directory with one rule, A."""
    fill(Path("rules"), {"A.yml": ttp("A")})
    return get_store()


def get_store() -> SharedRuleStore:
    """Return what the settings choose, which is no replica here."""
    store = get_rule_store()
    assert isinstance(store, SharedRuleStore)
    return store


def ids(rules: SharedRuleStore) -> list[str]:
    return [rule.rule_id for rule in asyncio.run(rules.load_compiled())]


@pytest.mark.parametrize("name", ["redis", "", "file system"])
def test_a_type_that_is_not_known_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("EVENTSTORE_RULE_STORE_TYPE", name)
    with pytest.raises(ValueError, match=r"EVENTSTORE_RULE_STORE_TYPE.*filesystem, database"):
        get_rule_store()


@pytest.mark.parametrize(("name", "file"), [(" FileSystem\n", "rules.eventstore.db"),
                                            (" DATABASE ", "eventstore.db")])  # fmt: skip
def test_the_type_is_stripped_and_lower_cased(
    monkeypatch: pytest.MonkeyPatch, name: str, file: str
) -> None:
    Path("rules").mkdir()
    monkeypatch.setenv("EVENTSTORE_RULE_STORE_TYPE", name)
    assert ids(get_store()) == []
    assert Path(file).exists()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("EVENTSTORE_RULES_FORMAT", "xml"),
        ("EVENTSTORE_RULES_DIR", "/"),
        ("EVENTSTORE_RULES_DIR", "what?"),
    ],
)
def test_settings_that_cannot_be_are_refused_when_asked(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=value.replace("?", r"\?")):
        get_rule_store()


def test_a_url_that_is_not_known_is_refused_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTORE_RULE_STORE_TYPE", "database")
    monkeypatch.setenv("EVENTSTORE_URL", "pigeon://roof")
    with pytest.raises(ConfigError, match="pigeon"):
        get_rule_store()


def test_nothing_is_opened_before_the_first_use(rules: SharedRuleStore) -> None:
    assert sorted(path.name for path in Path().iterdir()) == ["rules"]
    assert ids(rules) == ["A"]
    assert [path.name for path in Path("rules").iterdir()] == ["A.yml"]


def test_every_call_gives_the_same_store(rules: SharedRuleStore) -> None:
    assert get_rule_store() is rules


def test_directories_have_logs_of_their_own(
    rules: SharedRuleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(Path("others"), {"B.yml": ttp("B")})
    monkeypatch.setenv("EVENTSTORE_RULES_DIR", "others")
    assert (ids(get_store()), ids(rules)) == (["B"], ["A"])


def test_it_stays_where_it_was_named_though_the_program_moves(
    rules: SharedRuleStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir("/")
    assert ids(rules) == ["A"]
    assert (tmp_path / "rules.eventstore.db").exists()


def test_loops_of_both_kinds_may_use_it_one_after_another(rules: SharedRuleStore) -> None:
    assert ids(rules) == ["A"]
    changes: Any = rules.subscribe_changes()

    async def set_and_see(state: Any) -> Any:
        await rules.set_state("A", RuleState(state), set_by="ana")
        return (await take(changes, 1))[0].new_value.state

    assert asyncio.run(set_and_see("disabled")) == "disabled"
    assert trio.run(set_and_see, "clipped") == "clipped"
    assert asyncio.run(set_and_see("enabled")) == "enabled"


def test_what_arrives_while_nobody_waits_is_given_out_to_the_next_loop(
    rules: SharedRuleStore,
) -> None:
    changes: Any = rules.subscribe_changes()

    async def give_up() -> None:
        with anyio.move_on_after(0.05):
            await take(changes, 5)
        await rules.set_state("A", RuleState("clipped"), set_by="ana")

    async def until_clipped() -> None:
        while (await take(changes, 1))[0].change_kind != "state":
            pass

    asyncio.run(give_up())
    trio.run(until_clipped)


def test_a_subscription_is_pinned_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTORE_RULE_STORE_TYPE", "database")
    rules = get_store()
    changes: Any = rules.subscribe_changes()

    async def set_then_read() -> Any:
        await rules.set_state("A", RuleState("disabled"), set_by="ana")
        return (await take(changes, 1))[0].rule_id

    assert asyncio.run(set_then_read()) == "A"


def test_a_missing_directory_has_no_rules_until_it_comes(caplog: pytest.LogCaptureFixture) -> None:
    rules = get_store()
    assert ids(rules) == []
    assert "rules: is not there" in caplog.text
    assert "is not there" in told_by_status("rules.eventstore.db", lambda text: text != "")
    changes: Any = rules.subscribe_changes()
    fill(Path("rules"), {"A.yml": ttp("A")})
    (change,) = asyncio.run(take(changes, 1))
    assert (change.change_kind, change.rule_id) == ("definition", "A"), "it begins by itself"
    assert ids(rules) == ["A"]
    assert told_by_status("rules.eventstore.db", lambda text: text == "") == ""


def told_by_status(path: str, wanted: Callable[[str], bool]) -> str:
    """Return what is wrong with the log's one source, once it is as wanted."""

    async def ask() -> str:
        found: list[str] = []

        async def told() -> bool:
            async with EventStore.open(f"sqlite:///{path}") as store:
                found[:] = [source.trouble for source in await source_owners(store)]
            return len(found) == 1 and wanted(found[0])

        await eventually(told)
        return found[0]

    return asyncio.run(ask())


def test_stores_with_other_classes_share_the_log(rules: SharedRuleStore) -> None:
    assert ids(rules) == ["A"]
    loop = get_background_loop()
    typed: Any = get_rule_store(types=RuleTypes(state=SimpleNamespace))
    assert typed is not rules
    (rule,) = asyncio.run(typed.load_compiled())
    assert rule.state.state == "enabled"
    assert typed._service is rules._service
    assert get_background_loop() is loop
    assert get_rule_store() is rules


def test_classes_that_cannot_be_built_are_refused_when_asked() -> None:
    with pytest.raises(ConfigError, match="'rule_id'"):
        get_rule_store(types=RuleTypes(compiled=object))


def test_a_directory_that_went_missing_leaves_the_rules_known_before(
    rules: SharedRuleStore, tmp_path: Path
) -> None:
    asyncio.run(rules.set_state("A", RuleState("disabled"), set_by="ana"))
    assert ids(rules) == ["A"]
    close_background_loop()
    (tmp_path / "rules").rename(tmp_path / "elsewhere")
    (rule,) = asyncio.run(rules.load_compiled())
    assert (rule.rule_id, rule.state.state) == ("A", "disabled")


def test_a_lock_of_git_leaves_the_rules_known_before_and_says_why(
    rules: SharedRuleStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    fill(Path("rules"), {"B.yml": ttp("B")})
    assert ids(rules) == ["A", "B"]
    close_background_loop()
    monkeypatch.setattr("projections.rules.factory.DebounceTimes", short_times)
    fill(tmp_path, {".git/index.lock": ""})
    Path("rules/A.yml").unlink()
    assert ids(get_store()) == ["A", "B"]
    assert "index.lock has been there" in caplog.text
    assert "the log's 2 rules are used as they are" in caplog.text


def short_times(whole: float, incomplete: float) -> DebounceTimes:
    """Return the times of the settings with a limit that a test can wait for."""
    return DebounceTimes(whole, incomplete, 0.3)


def test_a_directory_may_move_together_with_its_log(
    rules: SharedRuleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert ids(rules) == ["A"]
    close_background_loop()
    Path("new").mkdir()
    for path in ("rules", "rules.eventstore.db"):
        Path(path).rename(Path("new") / path)
    fill(Path("new/rules"), {"A.yml": ttp("A", "second")})
    monkeypatch.chdir("new")
    moved = asyncio.run(get_rule_store().load_compiled())
    assert [(rule.rule_id, rule.name) for rule in moved] == [("A", "second")]


def test_a_log_that_cannot_be_opened_is_tried_again(rules: SharedRuleStore) -> None:
    Path("rules.eventstore.db").mkdir()
    with pytest.raises(StorageError):
        ids(rules)
    Path("rules.eventstore.db").rmdir()
    assert ids(rules) == ["A"]


def test_a_subscription_does_not_outlive_what_it_follows(rules: SharedRuleStore) -> None:
    changes: Any = rules.subscribe_changes()
    close_background_loop()
    with pytest.raises(StoreClosedError):
        asyncio.run(take(changes, 1))
    assert ids(rules) == ["A"], "the store itself opens again"


def test_whoever_waits_is_told_when_the_store_is_closed(rules: SharedRuleStore) -> None:
    async def wait() -> None:
        await rules.load_compiled()
        changes: Any = rules.subscribe_changes()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, close_background_loop)
            with pytest.raises(StoreClosedError):
                await take(changes, 5)

    asyncio.run(wait())


def test_a_waiting_iterator_that_is_dropped_leaves_nothing_behind(rules: SharedRuleStore) -> None:
    async def drop_and_look() -> None:
        await rules.load_compiled()
        before = await tasks_running()
        changes: Any = rules.subscribe_changes()
        with anyio.move_on_after(0.01):
            await anext(changes)
        assert await tasks_running() == before + 1
        del changes
        gc.collect()

        async def as_before() -> bool:
            return await tasks_running() == before

        await eventually(as_before)

    async def tasks_running() -> int:
        async def count() -> int:
            return len(asyncio.all_tasks())

        return await get_background_loop().call(count)

    asyncio.run(drop_and_look())


def run_program(name: str) -> tuple[int, str, str]:
    command = words(name)
    command[1:1] = ["-W", "error", "-W", "ignore::DeprecationWarning"]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="there is no fork")
def test_a_forked_child_gets_one_of_its_own() -> None:
    fill(Path("rules"), {"A.yml": ttp("A")})
    assert run_program("forked_rule_store") == (0, "A disabled child\n", "")


def test_the_end_of_a_program_closes_the_log_without_a_word() -> None:
    Path("rules").mkdir()
    assert run_program("ending_rule_store") == (0, "done\n", "")
    assert not Path("rules.eventstore.db-wal").exists(), "the last connection was closed"
