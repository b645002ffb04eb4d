"""Names of tables that a release left to programs: this version goes on with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.sql_databases import tables_of

from .versions import NEW, release_names

if TYPE_CHECKING:
    from pathlib import Path

    from .versions import Version

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]

FIRST = """
CREATE TABLE touched (id INTEGER PRIMARY KEY, place TEXT);
CREATE TABLE projection (id INTEGER PRIMARY KEY, film TEXT);
CREATE INDEX named_lock ON touched (place);
INSERT INTO projection VALUES (7, 'x');
"""


@pytest.mark.parametrize("release", release_names())
def test_a_table_that_a_release_made_is_written_renamed_and_computed_again(
    running: dict[str, Version], url: str, tmp_path: Path, release: str
) -> None:
    new, directory = running[NEW], tmp_path / "migrations"
    directory.mkdir()
    (directory / "1.sql").write_text(FIRST)
    write = ["INSERT INTO touched VALUES (1, 'a')", "UPDATE projection SET film = 'y'"]
    running[release].call("sql_run", url=url, migrations=str(directory), statements=write)
    write = ["UPDATE touched SET place = 'b'", "INSERT INTO touched VALUES (2, 'c')"]
    new.call("sql_run", url=url, migrations=str(directory), statements=write)
    new.call("sql_rebuild", url=url)
    assert tables_of(url, ["touched"]) != tables_of(url, ["projection"])
    (directory / "2.sql").write_text(
        "ALTER TABLE touched RENAME TO seen; ALTER TABLE projection RENAME TO film;"
    )
    new.call("sql_run", url=url, migrations=str(directory), statements=["DELETE FROM film"])
    before = tables_of(url, ["film", "seen"])
    assert [len(before[name]) for name in ("film", "seen")] == [0, 2]
    new.call("sql_rebuild", url=url)
    assert tables_of(url, ["film", "seen"]) == before
    assert new.call("verify", url=url, anchor=new.call("head", url=url)) == []
