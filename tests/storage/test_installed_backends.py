"""A backend of an installed package is found by the scheme of its URLs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from eventstore import ConfigError, NewEvent
from eventstore.storage import backends
from eventstore.storage.sqlite.backend import SqliteBackend
from eventstore.sync import EventStore
from eventstore.system.entry_points import EntryPoint
from eventstore.system.secret_url import SecretUrl

if TYPE_CHECKING:
    from pathlib import Path


def make(url: str | SecretUrl, *given: Any) -> SqliteBackend:
    """Return a backend whose URLs begin with another scheme."""
    rest = SecretUrl.of(url).given.partition("://")[2]
    return SqliteBackend(f"sqlite://{rest}", *given)


def installed(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    """Let a package offer a backend."""
    entry = EntryPoint("acme", "mine", value)
    monkeypatch.setattr(backends, "find_entry_points", lambda _group: [entry])


def test_a_log_is_opened_by_an_installed_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    installed(monkeypatch, f"{__name__}:make")
    for position in (1, 2):
        with EventStore.open(f"mine:///{tmp_path}/events.db", notify="none") as store:
            assert store.append("a/1", [NewEvent("T", 1)]).position == position


@pytest.mark.parametrize("value", [f"{__name__}:nothing", "nowhere_at_all:make"])
def test_one_that_cannot_be_imported_is_named(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    installed(monkeypatch, value)
    with pytest.raises(ConfigError, match=f"^distribution 'acme': its backend {value} cannot be"):
        EventStore.open("mine:///events.db")


def test_an_unknown_scheme_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, f"{__name__}:make")
    with pytest.raises(ConfigError, match="it begins with one of"):
        EventStore.open("theirs:///events.db")
