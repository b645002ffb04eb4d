"""Storms of edits: after any of them the log ends up equal to the directory.

What is expected is read from the directory by a few lines of its own, which know neither
YAML nor the master. Each test prints how long after the last change the log agreed.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from random import Random
from typing import TYPE_CHECKING, Final

import anyio
import anyio.to_thread
import pytest
from support.master import fill, following, ttp
from support.processes import child, stop, wait_for
from support.waiting import eventually

from eventstore import EventStore
from projections.rules.sources.debounce import DebounceTimes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from eventstore import Event

pytestmark = pytest.mark.anyio

Rules = dict[str, tuple[str, str]]
"""Path and content of each rule, by its id."""

WITHIN: Final = 40.0
"""Seconds after which a storm counts as lost."""


@pytest.fixture(autouse=True)
def _watch_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at the watched place more often than a server needs to."""
    monkeypatch.setattr("eventstore.system.directory_watch.RETRY_SECONDS", 0.05)
    monkeypatch.setattr("eventstore.system.directory_watch.CHECK_MS", 50)


class Told:
    """What a log says of its rules and rejections, read on from where it was."""

    def __init__(self, store: EventStore) -> None:
        self._store = store
        self._position = 0
        self.rules: Rules = {}
        self.rejected: set[str] = set()
        self.removals = 0

    async def read_on(self) -> Told:
        """Take in what has been appended since."""
        async for event in self._store.read(after=self._position):
            self._position = event.position
            self._take(event)
        return self

    def _take(self, event: Event) -> None:
        data = event.data
        if event.type == "RuleDefined":
            self.rules[data["rule_id"]] = data["path"], data["content"]
        elif event.type == "RuleRemoved":
            del self.rules[data["rule_id"]]
            self.removals += 1
        elif event.type == "RuleRejected":
            self.rejected.add(data["path"])
        else:
            self.rejected.remove(data["path"])

    async def comes_to(self, what: str, rules: Rules, rejected: set[str] | None = None) -> None:
        """Return once the log says exactly this; print how long that took."""
        began = time.monotonic()

        async def agrees() -> bool:
            await self.read_on()
            return self.rules == rules and self.rejected == (rejected or set())

        await eventually(agrees, WITHIN)
        print(f"{what}: {len(rules):,} rules, {(time.monotonic() - began) * 1e3:,.0f} ms")


def held(root: Path) -> Rules:
    """Return the rules that a directory of good files holds, by the line that names the id."""
    rules: Rules = {}
    for folder, _, names in os.walk(root):
        for name in names:
            path = os.path.join(folder, name)  # noqa: PTH118 - it may be no UTF-8
            if not name.startswith(".") and name.isascii() and name.endswith(".yml"):
                with open(path) as file:  # noqa: PTH123
                    text = file.read()
                rule_id = text.split("\n", 1)[0].removeprefix("rule_id: ")
                assert rule_id not in rules
                rules[rule_id] = os.path.relpath(path, root), text
    return rules


def some(count: int, name: str = "first") -> dict[str, str]:
    """Return good files, a hundred to a folder."""
    return {f"f{n // 100}/r{n}.yml": ttp(f"R{n}", name) for n in range(count)}


class Storm:
    """Random edits of a directory, all of which leave good files, or are made good again."""

    def __init__(self, root: Path, seed: int) -> None:
        self._root = root
        self._random = Random(seed)
        self._edits = 0
        self._spoilt: list[Path] = []

    def blow(self, count: int) -> None:
        """Make so many edits, one after the other without a pause; end with good files."""
        ways = [self._write, self._replace, self._rename, self._add, self._spoil, self._copy]
        for _ in range(count):
            self._edits += 1
            self._random.choice([*ways, self._write, self._replace, self._delete])()
        for path in self._spoilt:
            path.unlink(missing_ok=True)
        self._add()

    def _pick(self) -> Path:
        good = set(self._root.rglob("*.yml")) - set(self._spoilt)
        return self._random.choice(sorted(good))

    def _text(self, path: Path) -> str:
        rule_id = path.read_text().split("\n", 1)[0].removeprefix("rule_id: ")
        return ttp(rule_id, f"edit {self._edits}")

    def _write(self) -> None:
        path = self._pick()
        path.write_text(self._text(path))

    def _replace(self) -> None:
        path = self._pick()
        temporary = path.with_name(".temporary")
        temporary.write_text(self._text(path))
        temporary.rename(path)

    def _rename(self) -> None:
        self._pick().rename(self._root / f"moved{self._edits}.yml")

    def _add(self) -> None:
        fill(self._root, {f"new{self._edits}/a.yml": ttp(f"N{self._edits}", "added")})

    def _delete(self) -> None:
        self._pick().unlink()

    def _spoil(self) -> None:
        path = self._root / f"spoilt{self._edits}.yml"
        path.write_text("rule_id: [")
        self._spoilt.append(path)

    def _copy(self) -> None:
        """Claim a rule's id a second time."""
        copy = self._root / f"copy{self._edits}.yml"
        shutil.copy(self._pick(), copy)
        self._spoilt.append(copy)


@pytest.mark.parametrize("edits", [100, pytest.param(2_000, marks=pytest.mark.soak)])
async def test_a_storm_of_edits_ends_with_what_the_directory_holds(
    store: EventStore, root: Path, edits: int
) -> None:
    fill(root, some(edits // 5))
    fill(root, {"kept.yml": ttp("KEPT")})
    async with following(store, root, debounce=DebounceTimes(longest=0.5)):
        told = await Told(store).read_on()
        began = time.monotonic()
        await anyio.to_thread.run_sync(Storm(root, seed=1).blow, edits)
        print(f"{edits:,} edits made in {time.monotonic() - began:.1f} s")
        await told.comes_to("storm of edits", held(root))
        if edits > 1_000:
            assert told.removals  # It was followed while it went on.


@pytest.mark.parametrize("files", [20, pytest.param(20_000, marks=pytest.mark.soak)])
async def test_an_overflow_of_the_kernels_queue_loses_no_file(
    tmp_path: Path, root: Path, files: int
) -> None:
    url = f"sqlite:///{tmp_path}/events.db"
    fill(root, {"first.yml": ttp("FIRST")})
    async with EventStore.open(url) as store:
        with child("rules_master", url, root, "test", 3600) as process:
            await anyio.to_thread.run_sync(wait_for, process, "synced")
            # Another edit, after which the watch stands: it is what noticed it.
            fill(root, {"first.yml": ttp("FIRST", "noticed by the watch")})
            await anyio.to_thread.run_sync(wait_for, process, "synced")
            stop(process)
            fill_the_queue(root)
            fill(root, {f"r{n}.yml": ttp(f"R{n}") for n in range(files)})
            process.send_signal(signal.SIGCONT)
            await Told(store).comes_to("overflow", held(root))


def fill_the_queue(root: Path) -> None:
    """Cause more events than the kernel keeps; what comes after them, it drops."""
    with open("/proc/sys/fs/inotify/max_queued_events") as limit:  # noqa: PTH123
        count = int(limit.read())
    scratch = root / ".one", root / ".two"
    for path in scratch:
        path.touch()
    for number in range(count + 100):
        os.utime(scratch[number % 2])  # Taking turns: the kernel joins equal neighbours.


def swap(root: Path, away: Path, successor: Path) -> None:
    """Move a directory away and another one into its place."""
    root.rename(away)
    successor.rename(root)


SIZES = [30, pytest.param(1_000, marks=pytest.mark.soak)]


@pytest.mark.parametrize("size", SIZES)
async def test_a_root_that_is_replaced_again_and_again_is_followed(
    store: EventStore, root: Path, tmp_path: Path, size: int
) -> None:
    fill(root, some(size))
    async with following(store, root):
        told = Told(store)
        for turn in range(3):
            successor = fill(tmp_path / f"next{turn}", some(size, f"turn {turn}"))
            fill(successor, {f"only{turn}.yml": ttp(f"ONLY{turn}")})
            swap(root, tmp_path / f"old{turn}", successor)
            await told.comes_to("root replaced", held(root))
            fill(root, {"f0/r0.yml": ttp("R0", f"edited after {turn}")})
            await told.comes_to("edited thereafter", held(root))
    assert told.removals == 2


@pytest.mark.parametrize("size", SIZES)
async def test_a_link_that_is_retargeted_again_and_again_is_followed(
    store: EventStore, tmp_path: Path, size: int
) -> None:
    releases = [fill(tmp_path / f"v{n}", some(size, f"release {n}")) for n in range(3)]
    link = tmp_path / "current"
    link.symlink_to(releases[0])
    async with following(store, link):
        told = Told(store)
        for release in [*releases[1:], *releases]:
            (tmp_path / "next").symlink_to(release)
            (tmp_path / "next").rename(link)
            await told.comes_to("link retargeted", held(release))
        fill(releases[-1], {"f0/r0.yml": ttp("R0", "edited behind the link")})
        await told.comes_to("edited thereafter", held(releases[-1]))
    assert told.removals == 0


@pytest.mark.parametrize("size", SIZES)
async def test_an_unmounted_root_keeps_its_rules_and_recovers(
    store: EventStore,
    root: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    size: int,
) -> None:
    fill(root, some(size))
    async with following(store, root):
        told = Told(store)
        await told.comes_to("before", before := held(root))
        swap(root, tmp_path / "device", fill(tmp_path / "mount point", {}))

        async def refused() -> bool:
            return "--allow-empty" in caplog.text

        await eventually(refused)
        assert (await told.read_on()).rules == before
        fill(tmp_path / "device", {"f0/r0.yml": ttp("R0", "edited while it was away")})
        (tmp_path / "device" / "f0" / "r1.yml").unlink()
        swap(root, tmp_path / "mount point", tmp_path / "device")
        await told.comes_to("mounted again", held(root))
    assert told.removals == 1


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 * 1024 * 1024)


def huge_and_written(path: Path) -> None:
    block = b"# " + b"x" * (1024 * 1024 - 3) + b"\n"
    with path.open("wb") as file:
        for _ in range(100):
            file.write(block)


def alias_bomb(path: Path) -> None:
    lines = (f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 30))
    path.write_text("a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + "".join(lines))


def deep(path: Path) -> None:
    path.write_text("rule_id: " + "[" * 50_000)


@pytest.mark.parametrize(
    ("spoil", "count"),
    [
        (huge, 3),
        (alias_bomb, 3),
        (deep, 3),
        pytest.param(huge, 100, marks=pytest.mark.soak),
        pytest.param(huge_and_written, 2, marks=pytest.mark.soak),
        pytest.param(alias_bomb, 100, marks=pytest.mark.soak),
        pytest.param(deep, 100, marks=pytest.mark.soak),
    ],
)
async def test_hostile_files_keep_their_last_good_rules_and_stop_no_others(
    store: EventStore, root: Path, spoil: Callable[[Path], None], count: int
) -> None:
    fill(root, good := some(2 * count))
    async with following(store, root):
        told = Told(store)
        hostile = list(good)[:count]
        for path in hostile:
            await anyio.to_thread.run_sync(spoil, root / path)
        others = {path: text.replace("first", "edited") for path, text in good.items()}
        fill(root, {path: others[path] for path in list(good)[count:]})
        as_it_was = {path: good[path] for path in hostile}
        expected = {f"R{n}": (path, (others | as_it_was)[path]) for n, path in enumerate(good)}
        await told.comes_to(spoil.__name__, expected, set(hostile))
        fill(root, {path: others[path] for path in hostile})
        await told.comes_to("mended", held(root))
    assert told.removals == 0


@pytest.mark.parametrize("count", [3, pytest.param(300, marks=pytest.mark.soak)])
async def test_names_that_are_not_utf8_hide_no_edit(
    store: EventStore, root: Path, count: int
) -> None:
    fill(root, some(count))
    async with following(store, root, rescan_seconds=1.0):
        told = Told(store)
        for n in range(count):
            odd = os.fsdecode(b"\xff%d.yml" % n)
            (root / odd).write_text(ttp(f"ODD{n}"))
            fill(root, {f"f{n // 100}/r{n}.yml": ttp(f"R{n}", "beside an odd name")})
        odd_names = {f"\\udcff{n}.yml" for n in range(count)}
        await told.comes_to("names not UTF-8", held(root), odd_names)
        fill(root, {"f0/r0.yml": ttp("R0", "edited thereafter")})
        await told.comes_to("edited thereafter", held(root), odd_names)


@pytest.mark.parametrize("count", [3, pytest.param(300, marks=pytest.mark.soak)])
async def test_raw_files_of_odd_names_are_rejected_and_stop_no_others(
    store: EventStore, root: Path, count: int
) -> None:
    async with following(store, root, format="raw"):
        told = Told(store)
        for n in range(count):
            (root / os.fsdecode(b"\xff%d" % n)).write_text("odd")
            (root / f"even{n}").write_text("even")
        even = {f"even{n}": (f"even{n}", "even") for n in range(count)}
        odd = {f"\\udcff{n}" for n in range(count)}
        await told.comes_to("raw names not UTF-8", even, odd)
        for n in range(count):
            (root / os.fsdecode(b"\xff%d" % n)).unlink()
        await told.comes_to("gone", even)
