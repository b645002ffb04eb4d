"""docs/sources.md names every rule by which a file is ignored, with examples that hold."""

from __future__ import annotations

import re

from support.commands import REPOSITORY

from projections.rules.formats.scratch_names import SCRATCH_NAMES, ignored_folder, scratch_kind

TEXT = (REPOSITORY / "docs" / "sources.md").read_text()
ROWS = dict(re.findall(r"^\| ((?:is|has) .*?) \| (.*) \|$", TEXT, re.MULTILINE))


def test_every_kind_of_ignored_name_has_a_row() -> None:
    kinds = [row.partition(":")[0] for row in ROWS]
    assert kinds[1:] == [kind.what for kind in SCRATCH_NAMES] + ["is kept by the system"]


def test_the_examples_of_each_row_are_of_its_kind() -> None:
    for row, cell in list(ROWS.items())[1:]:
        names = re.findall(r"`(.*?)`", cell)
        assert names
        kind = row.partition(":")[0]
        for name in names:
            found = ignored_folder(name[:-1]) if name.endswith("/") else scratch_kind(name)
            assert found == kind, name
