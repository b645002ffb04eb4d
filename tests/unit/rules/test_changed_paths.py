"""A look at what has changed finds what a look at every file finds."""

from __future__ import annotations

import os
import random
import shutil
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import anyio
import pytest
from support.master import fill, ttp
from support.spies import note_calls

from eventstore import EventStore
from projections.rules.sources._source_reader import SourceReader
from projections.rules.sources._writer_watch import WriterWatch
from projections.rules.sources._writes import commits_of, writes_of
from projections.rules.sources.scan import Scanner
from projections.rules.standing_rules import StandingRules

if sys.platform != "linux":
    pytest.skip("inotify is Linux's", allow_module_level=True)

from eventstore.system.inotify_tree import TreeEvents

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from projections.rules.sources.reconcile import Verdict

pytestmark = pytest.mark.anyio

FOLDERS = ["", "", "a/", "a/b/", "c/", ".hidden/", "lost+found/"]
NAMES = ["x.yml", "y.yml", "z.yml", ".x.yml", "x.yml~", "README.md", "é.yml", "e\u0301.yml"]
RULES = [*(f"R{number}" for number in range(6)), "Ré"]


def shown(verdict: Verdict, reader: SourceReader) -> dict[str, Any]:
    """Return what a look has found, in an order that does not matter."""
    return {
        "defined": [(one.file.path, one.file.sha256, one.rule_ids) for one in verdict.defined],
        "removed": sorted((rule.rule_id, rule.path) for rule in verdict.removed),
        "rejected": sorted((one.path, one.sha256, one.reason) for one in verdict.rejected),
        "new": sorted((one.path, one.reason) for one in verdict.new_rejections),
        "ended": verdict.ended,
        "counts": (verdict.unchanged, verdict.changing, verdict.held),
        "ignored": sorted(reader.ignored),
        "empty": sorted(reader._scanner.empty),
        "files": {path: (one.sha256, one.problem) for path, one in reader.files.items()},
    }


def content(chance: random.Random) -> str:
    kind = chance.random()
    if kind < 0.1:
        return ""
    if kind < 0.2:
        return "broken: ["
    return ttp(chance.choice(RULES), f"edit {chance.random()}")


def write(path: Path, _: Path, chance: random.Random) -> None:
    path.write_text(content(chance))


def save(path: Path, _: Path, chance: random.Random) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_text(content(chance))
    temporary.replace(path)


def move(path: Path, other: Path, _: random.Random) -> None:
    path.rename(other)


def remove(path: Path, _: Path, __: random.Random) -> None:
    path.unlink()


def make_folder(path: Path, _: Path, __: random.Random) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)


def move_folder(path: Path, other: Path, _: random.Random) -> None:
    path.parent.rename(other.parent)


def remove_folder(path: Path, other: Path, _: random.Random) -> None:
    if path.parent.name == other.parent.name == "a":
        shutil.rmtree(path.parent)


def link(path: Path, other: Path, _: random.Random) -> None:
    os.link(path, other)


def symlink(path: Path, other: Path, _: random.Random) -> None:
    path.symlink_to(other)


CHANGES: dict[Callable[[Path, Path, random.Random], None], int] = {
    write: 40,
    save: 20,
    move: 15,
    remove: 25,
    make_folder: 15,
    move_folder: 2,
    remove_folder: 10,
    link: 1,
    symlink: 1,
}


def change(root: Path, chance: random.Random) -> None:
    """Do to the files what editors, git and people do, or what they fail to do."""
    path, other = (root / (chance.choice(FOLDERS) + chance.choice(NAMES)) for _ in range(2))
    (act,) = chance.choices([*CHANGES], [*CHANGES.values()])
    with suppress(OSError):
        act(path, other, chance)


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Note of each scan whether it was one of single paths."""
    found: list[bool] = []
    again = Scanner.scan_again

    def noting(scanner: Scanner, paths: Any) -> Any:
        result = again(scanner, paths)
        found.append(result is not None)
        return result

    monkeypatch.setattr(Scanner, "scan_again", noting)
    # How often a file has grown is known to the reader that goes on, and not to a new one.
    monkeypatch.setattr(WriterWatch, "is_being_written", lambda *_: False)
    return found


SEEDS = [1, 2, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 9))]


@pytest.mark.parametrize("seed", SEEDS)
async def test_a_look_at_what_has_changed_finds_what_a_whole_one_does(
    tmp_path: Path, seed: int, looks: list[bool]
) -> None:
    chance, root = random.Random(seed), tmp_path / "rules"
    fill(root, {f"r{number}.yml": ttp(f"S{number}") for number in range(5)})
    standing = StandingRules("test")
    reader = SourceReader(root, format="ttp")
    async with EventStore.open("memory://") as store:
        with TreeEvents(root) as events:
            for _ in range(60):
                for _ in range(chance.choice([1, 1, 1, 3])):
                    await anyio.to_thread.run_sync(change, root, chance)
                await standing.refresh(store)
                verdict = reader.look(standing, events.take())
                fresh, whole = StandingRules("test"), SourceReader(root, format="ttp")
                await fresh.refresh(store)
                assert shown(verdict, reader) == shown(whole.look(fresh), whole)
                if chance.random() < 0.7:
                    for writes in commits_of(writes_of([(verdict, standing, lambda _: None)])):
                        await store.append_many(writes)
    assert looks.count(True) > 10


@pytest.mark.parametrize("format_", ["ttp", "sigma"])
async def test_an_edit_reads_its_own_file_alone(
    tmp_path: Path, looks: list[bool], monkeypatch: pytest.MonkeyPatch, format_: str
) -> None:
    text: Callable[[str, str], str] = ttp if format_ == "ttp" else sigma
    files = {f"r{number}.yml": text(f"R{number}", "first") for number in range(50)}
    root = fill(tmp_path / "rules", files)
    standing, reader = StandingRules("test"), SourceReader(root, format=format_)
    async with EventStore.open("memory://") as store:
        with TreeEvents(root) as events:
            reader.look(standing, events.take())
            monkeypatch.setattr("eventstore.system.stat_cache.YOUNG_NS", 0)
            for _ in range(2):
                verdict = reader.look(standing, events.take() or None)
                for writes in commits_of(writes_of([(verdict, standing, lambda _: None)])):
                    await store.append_many(writes)
                await standing.refresh(store)
            opened = note_calls(monkeypatch, Scanner, "_read", lambda _, path: path)
            for edit in range(3):
                fill(root, {"r7.yml": text("R7", f"edit {edit}")})
                verdict = reader.look(standing, events.take())
                assert [one.file.path for one in verdict.defined] == ["r7.yml"]
                assert verdict.unchanged == 49
                assert set(opened) == {f"{root}/r7.yml"}
    assert looks[-3:] == [True] * 3


def sigma(rule_id: str, name: str) -> str:
    number = int(rule_id[1:])
    return (
        f"title: Rule {rule_id} {name}\nid: 00000000-0000-4000-8000-{number:012d}\n"
        "logsource: {category: process_creation}\nlevel: high\n"
        "detection: {selection: {Image: cmd.exe}, condition: selection}\n"
    )
