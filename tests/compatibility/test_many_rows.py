"""Rows of a large transaction, in their compact form: a release that does not read it stops."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.sql_databases import tables_of

from .versions import NEW, VersionError, release_names

if TYPE_CHECKING:
    from pathlib import Path

    from .versions import Version

pytestmark = [pytest.mark.promise("releases"), pytest.mark.slow]

TABLE = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT);"
ROWS = (
    "WITH RECURSIVE n(n) AS (SELECT {0} UNION ALL SELECT n + 1 FROM n WHERE n < {0} + 59) "
    "INSERT INTO item SELECT n, 'x' FROM n"
)
MANY = {
    "insert": [ROWS.format(300), ROWS.format(400)],
    "update": ["UPDATE item SET name = 'y'"],
    "delete": ["DELETE FROM item WHERE id < 180"],
}


@pytest.mark.parametrize("kind", list(MANY))
@pytest.mark.parametrize("release", release_names())
def test_a_release_stops_at_many_rows_and_leaves_the_tables(
    running: dict[str, Version], url: str, tmp_path: Path, release: str, kind: str
) -> None:
    old, new, directory = running[release], running[NEW], tmp_path / "migrations"
    directory.mkdir()
    (directory / "1.sql").write_text(TABLE)

    def write(version: Version, statements: list[str]) -> None:
        version.call("sql_run", url=url, migrations=str(directory), statements=statements)

    # Few rows in each transaction, by both: the release computes them again.
    for version, start in ((old, 0), (new, 100), (old, 200)):
        write(version, [ROWS.format(start)])
    old.call("sql_rebuild", url=url)
    write(new, MANY[kind])
    position = len(new.call("read", url=url))
    before = tables_of(url, ["item"])
    with pytest.raises(VersionError, match="CorruptEventError") as stopped:
        old.call("sql_rebuild", url=url)
    assert f"position {position}" in str(stopped.value)
    assert "use a later one" in str(stopped.value)
    assert tables_of(url, ["item"]) == before
    # It goes on writing, and this version computes all of it again.
    write(old, ["INSERT INTO item VALUES (1000, 'z')"])
    after = tables_of(url, ["item"])
    assert after != before
    new.call("sql_rebuild", url=url)
    assert tables_of(url, ["item"]) == after
