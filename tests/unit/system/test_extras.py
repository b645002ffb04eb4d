"""What an extra brings is named in one line where the extra is not installed."""

from __future__ import annotations

import sys

import pytest

from eventstore import ConfigError, EventStore
from eventstore.notify.notifiers import make_notifier
from eventstore.system.extras import needs_extra
from projections.tables.backends import make_database

KEY = "a key of more than sixteen characters"


@pytest.fixture(autouse=True)
def base_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """Import as where no extra is installed."""
    for name in list(sys.modules):
        optional = name.partition(".")[0] in {"psycopg", "redis"}
        ours = ".postgres" in name or "._redis" in name or "._postgres" in name
        if ours and name.startswith(("eventstore.", "projections.")):
            monkeypatch.delitem(sys.modules, name)
        elif optional:
            monkeypatch.setitem(sys.modules, name, None)
    for name in ("psycopg", "redis"):
        monkeypatch.setitem(sys.modules, name, None)


def refusal(use: object) -> str:
    assert callable(use)
    with pytest.raises(ConfigError) as caught:
        use()
    return str(caught.value)


@pytest.mark.parametrize(
    ("use", "extra"),
    [
        (lambda: EventStore.open("postgresql://host/db"), "postgres"),
        (lambda: make_database("postgresql://host/db"), "postgres"),
        (lambda: make_notifier("redis://host", "memory://", None, [KEY]), "redis"),
        (lambda: make_notifier("postgres", "postgresql://host/db", None), "postgres"),
    ],
    ids=["log", "projection", "redis notifier", "postgres notifier"],
)
def test_the_line_names_the_extra_and_how_to_install_it(use: object, extra: str) -> None:
    line = refusal(use)
    assert f"needs the extra '{extra}': pip install 'ruletide[{extra}]'" in line
    assert "\n" not in line


def test_what_is_no_missing_import_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), needs_extra("postgres", "this"):
        _ = 1 / 0
