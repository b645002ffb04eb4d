"""The system's limits on watching, made small in a user namespace of the test's own."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import anyio
import pytest
from support.master import NEVER, QUICK, fill, stands, ttp
from support.processes import environment, words
from support.waiting import eventually

from eventstore import EventStore
from projections.rules import RuleSync
from projections.rules.sources.lease import source_owners

if TYPE_CHECKING:
    from pathlib import Path

UNSHARE = shutil.which("unshare")


def watch_within(limit: str, value: int, root: Path, mode: str) -> subprocess.CompletedProcess[str]:
    """Run the program where the system allows so few of ``limit``."""
    if UNSHARE is None or subprocess.run([UNSHARE, "-Ur", "true"], check=False).returncode:
        pytest.skip("user namespaces are not available here: limits cannot be made small")
    shell = f'echo {value} > /proc/sys/user/{limit} && exec "$@"'
    command = [UNSHARE, "-Ur", "sh", "-c", shell, "sh"]
    return subprocess.run(
        [*command, *words("watch_within_limits", root, mode)],
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("limit", ["max_inotify_instances", "max_inotify_watches"])
@pytest.mark.parametrize("mode", ["still", "alone"])
def test_without_a_watch_it_looks_on_a_timer_and_says_so_once(
    tmp_path: Path, limit: str, mode: str
) -> None:
    done = watch_within(limit, 0, tmp_path, mode)
    assert done.returncode == 0, done.stderr
    assert "cannot watch" in done.stdout
    assert limit.replace("inotify", "user") in done.stdout
    assert done.stderr.count("scanning on a timer") == 1


def test_a_tree_that_outgrows_the_limit_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    done = watch_within("max_inotify_watches", 1, tmp_path, "grow")
    assert done.returncode == 0, done.stderr
    assert "scanning on a timer" in done.stderr


@pytest.mark.anyio
async def test_the_master_shows_its_trouble_and_follows_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_watch(*_: object, **__: object) -> None:
        raise OSError("OS file watch limit reached")

    monkeypatch.setattr("eventstore.system.inotify_tree.TreeEvents", no_watch)
    monkeypatch.setattr("eventstore.system.directory_watch.RETRY_SECONDS", 0.05)
    root = fill(tmp_path / "rules", {"a.yml": ttp("A")})
    async with EventStore.open("memory://") as store, anyio.create_task_group() as tasks:
        master = RuleSync(store, root, debounce=QUICK, rescan_seconds=NEVER)
        assert not master.trouble
        tasks.start_soon(master.run)

        async def told() -> bool:
            shown = [source.trouble for source in await source_owners(store)]
            return "max_user_watches" in master.trouble and shown == [master.trouble]

        await eventually(told)
        fill(root, {"a.yml": ttp("A", "edited")})
        await stands(store, "A", ttp("A", "edited"))
        tasks.cancel_scope.cancel()
