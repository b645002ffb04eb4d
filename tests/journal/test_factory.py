"""get_journal: what the settings choose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.journals import fill

from eventstore import ConfigError
from projections.journal import Journal, get_journal

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def nothing_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start in an empty directory without settings."""
    monkeypatch.chdir(tmp_path)
    for name in ("EVENTSTORE_JOURNAL_TYPE", "EVENTSTORE_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["redis", "", "data base"])
def test_a_type_that_is_not_known_is_refused_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("EVENTSTORE_JOURNAL_TYPE", name)
    with pytest.raises(ValueError, match=r"EVENTSTORE_JOURNAL_TYPE.*database, memory") as caught:
        get_journal()
    assert isinstance(caught.value, ConfigError)


@pytest.mark.anyio
@pytest.mark.parametrize(("name", "lasts"), [("", True), (" DataBase\n", True), ("MEMORY", False)])
async def test_the_type_is_stripped_and_lower_cased(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, *, lasts: bool
) -> None:
    if name:
        monkeypatch.setenv("EVENTSTORE_JOURNAL_TYPE", name)
    monkeypatch.setenv("EVENTSTORE_URL", f"sqlite:///{tmp_path}/log.db")
    async with get_journal() as journal:
        assert isinstance(journal, Journal)
        await fill(journal, 2)
    assert (tmp_path / "log.db").exists() is lasts
    async with get_journal() as journal:
        assert await journal.count_entries("p") == (2 if lasts else 0)


def test_a_url_that_cannot_be_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVENTSTORE_URL", "pigeon://loft")
    with pytest.raises(ConfigError, match="pigeon"):
        get_journal()
