"""What a projected directory holds: the files that the log says, and no others."""

from pathlib import Path

import anyio
import pytest
from support.rule_events import definition_data
from support.rule_log import LOG_ID, Change, RuleLog, files_below

from eventstore import EventStore, NewEvent
from eventstore.errors import ConfigError, ProjectionError, StoreClosedError
from projections import DirectoryProjection, ProjectionRunner
from projections.directory import FileChange
from projections.directory.manifest import decode, read_tree


@pytest.mark.anyio
async def test_a_runner_keeps_a_directory_byte_for_byte_equal_to_a_log(root: Path) -> None:
    data = definition_data("R1", "win/r1.yml", "a: \u00e9\r\n".encode())
    binary = definition_data("R2", "b", b"\x00\xff")
    assert (data["content"], binary["base64"]) == ("a: \u00e9\r\n", "AP8=")
    async with EventStore.open("memory://") as store:
        await store.append("rule/R1", [NewEvent("RuleDefined", data)])
        await store.append("rule/R2", [NewEvent("RuleDefined", binary)])
        await store.append("rule-state/R1", [NewEvent("RuleStateSet", {})])
        cursor = await ProjectionRunner(store, DirectoryProjection(root)).catch_up()
        head = await store.head()
    found = await anyio.to_thread.run_sync(read_tree, root)
    assert found == (cursor, {"win/r1.yml": "a: \u00e9\r\n".encode(), "b": b"\x00\xff"})
    assert cursor == head.cursor


def test_only_the_last_content_of_a_batch_is_written(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit(Change("R1", "a.yml", b"1"))
    log.commit(Change("R1", "a.yml", b"2"))
    log.commit_into(live, Change("R1", "b.yml", b"3"))
    assert files_below(root) == {"b.yml": b"3"}


def test_a_rule_under_a_new_path_loses_its_old_file_and_the_empty_directory(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "old/deep/a.yml", b"1"))
    log.commit_into(live, Change("R1", "new/a.yml", b"1"))
    assert files_below(root) == {"new/a.yml": b"1"}


@pytest.mark.parametrize("gone", [Change("R1"), Change("R1", redacted=True)])
def test_the_file_of_a_removed_or_redacted_rule_goes(
    gone: Change, log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "d/a.yml", b"1"))
    log.commit_into(live, gone)
    assert files_below(root) == {}


def test_an_empty_file_is_a_file(log: RuleLog, live: DirectoryProjection, root: Path) -> None:
    log.commit_into(live, Change("R1", "a.yml", b""))
    assert files_below(root) == {"a.yml": b""}


@pytest.mark.parametrize(("before", "after"), [("a", "a/b"), ("a/b", "a"), ("a/b/c", "a/b")])
def test_a_file_and_a_directory_change_places_in_one_commit(
    before: str, after: str, log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", before, b"1"))
    log.commit_into(live, Change("R2", after, b"2"), Change("R1"))
    assert files_below(root) == {after: b"2"}
    assert live.set_aside == ()


def test_two_rules_swap_their_paths_in_one_commit(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "a", b"1"), Change("R2", "b", b"2"))
    log.commit_into(live, Change("R1", "b", b"1"), Change("R2", "a", b"2"))
    assert files_below(root) == {"a": b"2", "b": b"1"}


def test_a_file_that_is_as_it_should_be_is_not_written_again(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    before = (root / "a.yml").stat()
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    after = (root / "a.yml").stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_no_events_move_the_position_alone(log: RuleLog, live: DirectoryProjection) -> None:
    live.apply([], log.cursor(7))
    assert live.position == 7


def test_a_second_rule_waits_for_its_path_with_a_record_and_then_gets_it(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit(Change("R1", "a.yml", b"1"))
    log.commit_into(live, Change("R2", "a.yml", b"2"))
    assert files_below(root) == {"a.yml": b"1"}
    assert [record.position for record in live.set_aside] == [2]
    assert "'rule/R1'" in live.set_aside[0].reason
    live.close()
    live.open(LOG_ID)
    log.commit_into(live, Change("R1"))
    assert files_below(root) == {"a.yml": b"2"}
    assert live.set_aside == ()
    assert not list(root.glob("*.kept"))


HOSTILE = [
    "/etc/passwd",
    "../up",
    "a/../../up",
    "./a",
    "a//b",
    "a/",
    "",
    "a\x00b",
    "a\nb",
    "n" * 256,
    "/".join(["n" * 200] * 21),
    "/".join(["d"] * 101),
    ".eventstore.json",
    ".eventstore-x/y",
]


@pytest.mark.promise("bad-input")
@pytest.mark.parametrize("path", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_path_is_set_aside_and_the_last_good_file_stays(
    path: str, log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit(Change("R1", "a.yml", b"1"))
    log.commit_into(live, Change("R1", path, b"2"), Change("R2", "b.yml", b"3"))
    assert files_below(root) == {"a.yml": b"1", "b.yml": b"3"}
    assert [record.position for record in live.set_aside] == [2]
    assert sorted(entry.name for entry in root.parent.iterdir()) == ["live"]


def test_a_lone_surrogate_in_a_path_is_set_aside(log: RuleLog, root: Path) -> None:
    live = DirectoryProjection(root, files=lambda _: FileChange("k", "\ud800", b""))
    live.open(LOG_ID)
    log.commit_into(live, Change("R1", "a.yml"))
    assert "UTF-8" in live.set_aside[0].reason
    live.close()


def test_a_backslash_is_an_ordinary_character(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "..\\a", b"1"))
    assert files_below(root) == {"..\\a": b"1"}


def test_an_error_of_the_callers_own_function_is_set_aside(log: RuleLog, root: Path) -> None:
    live = DirectoryProjection(root, files=lambda event: 1 / 0)  # type: ignore[arg-type,return-value]
    live.open(LOG_ID)
    log.commit_into(live, Change("R1", "a.yml"))
    assert live.set_aside[0].reason == "ZeroDivisionError: division by zero"
    live.close()


def test_only_the_newest_thousand_records_of_bad_events_are_kept(
    log: RuleLog, live: DirectoryProjection
) -> None:
    for number in range(1100):
        log.commit(Change(f"R{number}", ".."))
    log.feed(live, [3, 500])
    assert [record.position for record in live.set_aside] == list(range(101, 1101))


@pytest.mark.parametrize("bad", [Change("R2", "../x"), Change("R2", "a.yml", b"9")])
def test_told_to_stop_it_applies_everything_before_the_commit(
    bad: Change, log: RuleLog, root: Path
) -> None:
    live = DirectoryProjection(root, on_error="stop")
    live.open(LOG_ID)
    log.commit(Change("R1", "a.yml", b"1"))
    log.commit(Change("R3", "c.yml", b"3"), bad)
    for _ in range(2):
        with pytest.raises(ProjectionError) as caught:
            log.feed(live)
        assert (caught.value.projection, caught.value.position) == ("directory", 3)
        assert read_tree(root) == (log.cursor(1), {"a.yml": b"1"})
    live.close()


def test_a_rebuild_shows_nothing_until_it_is_finished(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    other = RuleLog([[Change("R1", "b.yml", b"2")], [Change("R2", "c.yml", b"3")]])
    live.begin_rebuild()
    live.apply(other.events[:1], other.cursor(1))
    live.apply(other.events[1:], other.cursor(2))
    assert read_tree(root) == (log.cursor(), {"a.yml": b"1"})
    live.finish_rebuild()
    assert read_tree(root) == (other.cursor(), {"b.yml": b"2", "c.yml": b"3"})
    assert files_below(root) == {"b.yml": b"2", "c.yml": b"3"}


def test_closing_drops_an_unfinished_rebuild(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "a.yml", b"1"))
    live.begin_rebuild()
    live.close()
    assert live.open(LOG_ID) == log.cursor()
    live.finish_rebuild()
    assert files_below(root) == {"a.yml": b"1"}


def test_the_manifest_gives_position_log_and_digest_of_every_file(
    log: RuleLog, live: DirectoryProjection, root: Path
) -> None:
    log.commit_into(live, Change("R1", "d/a.yml", b"1"))
    manifest = decode((root / ".eventstore.json").read_bytes(), "test")
    entry = manifest.files["d/a.yml"]
    assert (entry.key, entry.position, entry.size) == ("rule/R1", 1, 1)
    assert entry.sha256.startswith("6b86b273ff34fce1")
    assert (manifest.projection, manifest.cursor) == ("directory", log.cursor())


def test_what_is_not_open_says_so(root: Path) -> None:
    with pytest.raises(StoreClosedError, match="not open"):
        DirectoryProjection(root).damaged()
    with pytest.raises(ConfigError, match="on_error"):
        DirectoryProjection(root, on_error="ignore")  # type: ignore[arg-type]
