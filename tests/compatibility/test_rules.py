"""Rules, directories and tables that one version began and the other goes on with."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from sqlalchemy import create_engine, text
from support.commands import REPOSITORY
from support.waiting import eventually

from .test_log import check_unbroken

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Pair

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]

EDITED = "encoded_powershell.yml"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """Copy the sample rules to a directory that a test may edit."""
    return shutil.copytree(REPOSITORY / "config" / "rules" / "ttp", tmp_path / "rules")


def edit(directory: Path, version: int) -> None:
    """Give the first rule another version."""
    source = (REPOSITORY / "config" / "rules" / "ttp" / EDITED).read_text()
    assert "rule_version: 2" in source
    changed = source.replace("rule_version: 2", f"rule_version: {version}")
    written = directory / f".{EDITED}.swp"
    written.write_text(changed)
    written.rename(directory / EDITED)


def files(directory: Path) -> dict[str, bytes]:
    """Read everything in a directory, hidden files included."""
    return {
        str(path.relative_to(directory)): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def test_rules_that_one_version_synced_the_other_loads_and_syncs_on(
    pair: Pair, url: str, directory: Path
) -> None:
    where = {"url": url, "directory": str(directory)}
    assert pair.first.call("sync", **where) == [16, 0, 0, 0]
    anchor = pair.second.call("head", url=url)
    assert pair.second.call("sync", **where) == [0, 0, 0, 16]
    edit(directory, 7)
    (directory / "office_spawns_shell.yml").unlink()
    shutil.copy(REPOSITORY / "config" / "broken-rule.yml", directory / "broken_rule.yml")
    assert pair.second.call("sync", **where)[:3] == [1, 1, 1]
    before = pair.second.call("head", url=url)
    assert pair.first.call("sync", **where)[:2] == [0, 0]
    assert pair.first.call("head", url=url) == before
    pair.second.call("set_state", url=url, rule="R1003", state="disabled")
    pair.first.call("set_state", url=url, rule="R1004", state="clipped")
    loaded = pair.first.call("rules", url=url)
    assert loaded == pair.second.call("rules", url=url)
    by_id = dict(loaded)
    assert by_id["R1001"]["rule_version"] == 7
    assert "R1002" not in by_id
    states = [by_id[rule]["state"]["state"] for rule in ("R1003", "R1004", "R1005")]
    assert states == ["disabled", "clipped", "enabled"]
    check_unbroken(pair, url, anchor)


def test_a_projected_directory_is_continued_by_the_other_version(
    pair: Pair, url: str, directory: Path, tmp_path: Path
) -> None:
    where = {"url": url, "directory": str(directory)}
    live, fresh = tmp_path / "live", tmp_path / "fresh"
    for number, version in enumerate((*pair, *pair)):
        edit(directory, 10 + number)
        version.call("sync", **where)
        version.call("set_state", url=url, rule="R1003", state="disabled")
        shown = version.call("project", url=url, directory=str(live))
        assert shown == version.call("head", url=url)
        loaded = version.call("rules", url=url)
        for reader in pair:
            assert reader.call("replica", directory=str(live)) == [17 + 2 * number, loaded]
    pair.second.call("project", url=url, directory=str(fresh))
    assert same_tree(files(live), files(fresh))
    assert (live / EDITED).read_bytes() == (directory / EDITED).read_bytes()


def same_tree(one: dict[str, bytes], other: dict[str, bytes]) -> bool:
    """Compare two projected trees; both have a manifest and the replica's file."""
    assert {".eventstore-rules", EDITED} <= one.keys()
    return {name: known_to_both(name, content) for name, content in one.items()} == {
        name: known_to_both(name, content) for name, content in other.items()
    }


def known_to_both(name: str, content: bytes) -> Any:
    """Return the content of a file, of a replica without what 0.1.0 does not keep of a rule."""
    if name != ".eventstore-rules":
        return content
    _checksum, replica = content.split(b"\n", 1)  # Each version has read it already.
    return json.loads(replica, object_hook=without_origin)


def without_origin(found: dict[str, Any]) -> dict[str, Any]:
    """Remove the hash of a rule's file and the position of its definition."""
    origin = {"sha256", "position"} if "rule_version" in found else set()
    return {key: value for key, value in found.items() if key not in origin}


def test_what_one_version_redacts_and_trims_the_other_leaves_out_alike(
    pair: Pair, url: str, directory: Path, tmp_path: Path
) -> None:
    where = {"url": url, "directory": str(directory)}
    pair.first.call("sync", **where)
    edit(directory, 7)
    pair.second.call("sync", **where)
    pair.second.call("set_state", url=url, rule="R1003", state="disabled")
    for name in ("encoded_powershell.yml", "office_spawns_shell.yml"):
        (directory / name).unlink()
    defined = {event[1]: event[0] for event in pair.first.call("read", url=url)}
    assert pair.first.call("redact", url=url, position=defined["rule/R1001"]) == 19
    assert pair.second.call("redact", url=url, position=defined["rule/R1002"]) == 20
    loaded = pair.first.call("rules", url=url)
    assert loaded == pair.second.call("rules", url=url)
    assert [rule for rule, _ in loaded] == [f"R{number}" for number in range(1003, 1017)]
    trees = []
    for step in ("whole", "trimmed"):
        if step == "trimmed":
            for version, before in zip(pair, (17, 18), strict=True):
                archive = str(tmp_path / f"{before}.export")
                assert version.call("trim", url=url, before=before, archive=archive) == before
        for number, version in enumerate(pair):
            live = tmp_path / f"{step}-{number}"
            version.call("project", url=url, directory=str(live))
            trees.append({name: text for name, text in files(live).items() if name[0] != "."})
            assert version.call("rules", url=url) == loaded
    assert len(trees[0]) == 14
    assert all(tree == trees[0] for tree in trees)


def rows(url: str) -> dict[str, list[Any]]:
    """Read the tables of rules."""
    engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
    try:
        with engine.connect() as connection:
            return {
                table: [
                    tuple(row)
                    for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY 1, 2"))
                ]
                for table in ("rule", "rule_state", "rule_rejection")
            }
    finally:
        engine.dispose()


def test_tables_are_continued_by_the_other_version(
    pair: Pair, url: str, other_url: str, directory: Path
) -> None:
    where = {"url": url, "directory": str(directory)}
    for number, version in enumerate((*pair, *pair)):
        edit(directory, 10 + number)
        version.call("sync", **where)
        version.call("set_state", url=url, rule="R1003", state="disabled")
        version.call("fill_tables", url=url, database=other_url)
        assert rows(url) == rows(other_url)
    shown = rows(url)
    assert len(shown["rule"]) == 16
    assert shown["rule"][0][1] == 13
    assert [state[0] for state in shown["rule_state"]] == ["R1003"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_source_has_one_owner_among_both_versions(
    own_pair: Pair, url: str, directory: Path
) -> None:
    first, second = own_pair
    where = {"url": url, "directory": str(directory)}
    first.call("lead", **where)
    await eventually(lambda: reports(first, 1))
    second.call("lead", **where)
    await eventually(lambda: owner_is(second, first.process.pid))
    edit(directory, 7)
    await eventually(lambda: reports(first, 2))
    assert second.call("leading")[1] == 0
    first.kill()
    await eventually(lambda: owner_is(second, second.process.pid))
    edit(directory, 8)
    await eventually(lambda: has_version(second, url, 8))
    defined = [event for event in second.call("read", url=url) if event[1] == "rule/R1001"]
    assert len(defined) == 3


async def reports(version: Any, count: int) -> bool:
    return bool(version.call("leading")[1] >= count)


async def owner_is(version: Any, pid: int) -> bool:
    return str(version.call("leading")[0]).endswith(f":{pid}")


async def has_version(version: Any, url: str, number: int) -> bool:
    loaded = dict(version.call("rules", url=url))
    return bool(loaded["R1001"]["rule_version"] == number)
