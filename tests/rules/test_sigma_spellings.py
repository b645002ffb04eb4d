"""Sigma as many people write it, judged beside pySigma; differences are those that docs list."""

from __future__ import annotations

import base64
import json
import re
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import pytest
from support.commands import REPOSITORY

from eventstore import EventStore
from projections.rules import RuleSync
from projections.rules.sources.check import check_rules

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.anyio

DATA: Final = REPOSITORY / "tests" / "data" / "sigma"


def lines(name: str) -> Iterator[dict[str, Any]]:
    yield from map(json.loads, (DATA / name).read_text().splitlines())


def write(path: Path, line: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    raw = line["text"].encode() if "text" in line else base64.b64decode(line["base64"])
    path.write_bytes(raw)


def repositories() -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in lines("repositories.jsonl"):
        found[line["repository"]].append(line)
    return found


def documented() -> set[str]:
    """Return what the table of differences lists as tried."""
    text = (REPOSITORY / "docs" / "sigma.md").read_text()
    rows = text.partition("| tried as |")[2].splitlines()[2:]
    return {name for row in rows for name in re.findall("`([^`]+)`", row.split("|")[-2])}


def differing(root: Path) -> Iterator[str]:
    """Yield what is judged otherwise than by pySigma: by name, and by repository and path."""
    for number, line in enumerate(lines("spellings.jsonl")):
        write(root / str(number) / "x.yml", line)
        if line["pysigma"] != ("no" if findings(root / str(number)) else "ok"):
            yield line["name"]
    for name, files in repositories().items():
        for line in files:
            write(root / name / line["path"], line)
        found = findings(root / name)
        for line in files:
            if line["pysigma"] != ("no" if line["path"] in found else "ok"):
                yield f"{name}/{line['path']}"


def findings(root: Path) -> dict[str, str]:
    return {one.path: one.reason for one in check_rules(root, format="sigma").findings}


def test_every_difference_from_pysigma_is_documented_and_every_documented_one_is_real(
    tmp_path: Path,
) -> None:
    found = set(differing(tmp_path))
    assert found == documented()


@pytest.mark.parametrize("name", sorted(repositories()))
async def test_every_file_of_a_repository_is_accounted_for(name: str, tmp_path: Path) -> None:
    files = repositories()[name]
    for line in files:
        write(tmp_path / line["path"], line)
    async with EventStore.open("memory://") as store:
        report = await RuleSync(store, tmp_path, format="sigma").sync_once()
        assert report.defined + report.rejected == len(files)
        again = await RuleSync(store, tmp_path, format="sigma").sync_once()
        assert again.unchanged + again.rejected == len(files)
        assert again.position is None
        events = [event async for event in store.read()]
    accounted = {event.data["path"] for event in events}
    assert accounted == {line["path"] for line in files}
