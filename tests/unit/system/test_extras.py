"""What an extra brings is named in one line where the extra is not installed."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from eventstore import ConfigError, EventStore
from eventstore.notify.notifiers import make_notifier
from eventstore.system.extras import needs_extra
from projections.sql import SqlCopy
from projections.tables.backends import make_database

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "a key of more than sixteen characters"


def is_optional(name: str) -> bool:
    """Tell whether a module is a driver of an extra, or one of ours that imports it."""
    ours = name.startswith(("eventstore.", "projections."))
    return name.partition(".")[0] in {"psycopg", "redis"} or (
        ours and any(part in name for part in (".postgres", "._redis", "._postgres"))
    )


@pytest.fixture(autouse=True)
def base_install() -> Iterator[None]:
    """Import as where no extra is installed; afterwards each module is where it was."""
    loaded = {name: module for name, module in sys.modules.items() if is_optional(name)}
    for name in loaded:
        del sys.modules[name]
    sys.modules.update(dict.fromkeys(("psycopg", "redis")))  # type: ignore[arg-type]
    yield
    for name in [name for name in sys.modules if is_optional(name)]:
        del sys.modules[name]
    sys.modules.update(loaded)
    for name, module in loaded.items():
        parent, _, child = name.rpartition(".")
        if parent in sys.modules:
            setattr(sys.modules[parent], child, module)


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
        (lambda: SqlCopy("postgresql://host/db"), "postgres"),
        (lambda: make_notifier("redis://host", "memory://", None, [KEY]), "redis"),
        (lambda: make_notifier("postgres", "postgresql://host/db", None), "postgres"),
    ],
    ids=["log", "projection", "copy of tables", "redis notifier", "postgres notifier"],
)
def test_the_line_names_the_extra_and_how_to_install_it(use: object, extra: str) -> None:
    line = refusal(use)
    assert f"needs the extra '{extra}': pip install 'ruletide[{extra}]'" in line
    assert "\n" not in line


def test_what_is_no_missing_import_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError), needs_extra("postgres", "this"):
        _ = 1 / 0
