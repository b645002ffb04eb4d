"""PostgreSQL URLs: what is wrong with one is said without a word of its password."""

from __future__ import annotations

import pytest

from eventstore import ConfigError, EventStore
from eventstore.storage.postgres.connection import connection_info
from eventstore.system.secret_url import SecretUrl
from projections.rules import RuleTables

MISTAKEN = [
    "postgresql://u:tops@cret@host/db",
    "postgresql://u:tops/cret@host/db",
    "postgresql://u:1234/tops-cret@host/db",
    "postgresql://u:tops%zzcret@host/db",
    "postgresql://u:tops-cret@[host/db",
    "postgresql://u:tops cret@host/db",
    "postgresql://u:tops%00cret@host/db",
    "postgresql+other://u:tops-cret@host/db",
    "mysql://u:tops-cret@host/db",
]


@pytest.mark.parametrize("url", MISTAKEN)
def test_no_part_of_a_password_is_told(url: str) -> None:
    for use in (EventStore.open, RuleTables().at):
        with pytest.raises(ConfigError) as caught:
            use(url)
        assert "tops" not in str(caught.value)
        assert "cret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:tops%40cret@host:6432/db", "postgresql://host:6432/db"),
        ("postgres://host/db?password=tops", "postgresql://host/db"),
        ("postgresql://u:tops@a:1,b:2/db?sslmode=require", "postgresql://a:1,b:2/db"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///run/postgresql/db"),
    ],
)
def test_a_good_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert connection_info(url)
    assert str(SecretUrl(url)) == shown
