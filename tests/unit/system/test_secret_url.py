"""No part of a password is printed, however its URL is spelled."""

import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from eventstore import ConfigError, EventStore, EventStoreError
from eventstore.notify.notifiers import make_notifier
from eventstore.system.secret_url import SecretUrl
from projections.rules import RuleTables
from projections.sql import SqlCopy, SqlStorage
from projections.tables.followed import read_cursors

SCHEMES = ["postgresql", "POSTGRESQL", "PostgreSQL", "postgres", "sqlite", "SQLITE", "memory"]
SCHEMES += ["redis", "rediss", "unix", "REDIS", "mysql+driver", "https", "sqlite+pysqlite"]
SPELLINGS = [
    "{}://u:QZXJ@h",
    "{}://u:QZXJ@h:5432/db",
    "{}://u:QZ@XJ@h/db",
    "{}://u:QZ/XJ@h/db",
    "{}://u:QZ?XJ@h/db",
    "{}://u:QZ#XJ@h/db",
    "{}://u:QZ%XJ@h/db",
    "{}://u:QZ@XJ?x/XJ@h/db",
    "{}://u:QZ XJ@h/db",
    "{}://u:QZ\nXJ@h/db",
    "{}://:QZXJ@h/db",
    "{}://u:QZXJ@",
    "{}://u:QZXJ@/db",
    "{}://u:QZXJ",
    "{}://QZXJ@h",
    "{}://u:QZXJ@[h/db",
    "{}://h/db?password=QZXJ",
    "{}://h/db?x=1&password=QZXJ#QZXJ",
    "{}:///db?password=QZXJ",
    "{}:u:QZXJ@h",
    "{}:/u:QZXJ@h",
]
BARE = ["u:QZXJ@h", "QZXJ@h", "://u:QZXJ@h", "//u:QZXJ@h/db", " postgresql://u:QZXJ@h"]
HOSTILE = {scheme: [spelling.format(scheme) for spelling in SPELLINGS] for scheme in SCHEMES}
HOSTILE["bare"] = BARE


def reveals(text: str) -> bool:
    return "QZ" in text or "XJ" in text


def refusal(use: Callable[[], object]) -> str:
    """Return the error that ``use`` raises, chained ones included; empty where it raises none."""
    try:
        use()
    except ConfigError as error:
        return "".join(traceback.format_exception(error))
    return ""


def open_and_close_notifier(url: str) -> None:
    make_notifier(url, "memory://", None).close()


@pytest.mark.parametrize("scheme", HOSTILE)
def test_neither_text_form_shows_any_of_the_password(scheme: str) -> None:
    for url in HOSTILE[scheme]:
        parsed = SecretUrl(url)
        assert parsed.given == url
        assert not reveals(f"{parsed} {parsed!r} {parsed!s} {[parsed]}"), url


@pytest.mark.parametrize("scheme", [scheme for scheme in HOSTILE if scheme != "rediss"])
@pytest.mark.parametrize(
    "use",
    [EventStore.open, RuleTables().at, SqlCopy, SqlStorage],
    ids=["store", "projection", "copy", "sql"],
)
def test_what_refuses_a_url_does_not_quote_it(use: Callable[[str], object], scheme: str) -> None:
    for url in HOSTILE[scheme]:
        assert not reveals(refusal(partial(use, url))), url


@pytest.mark.parametrize("scheme", HOSTILE)
def test_a_notifier_that_is_refused_does_not_quote_its_url(scheme: str) -> None:
    for url in HOSTILE[scheme]:
        assert not reveals(refusal(partial(open_and_close_notifier, url))), url


def test_a_file_that_is_missing_is_named_without_a_password() -> None:
    with pytest.raises(EventStoreError) as caught:
        read_cursors("sqlite://u:QZXJ@h")
    assert not reveals(str(caught.value))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://u:tops%40cret@host:6432/db", "postgresql://host:6432/db"),
        ("postgres://host/db?password=tops", "postgresql://host/db"),
        ("postgresql+psycopg://host", "postgresql://host/"),
        ("postgresql://u:tops@a:1,b:2/db?sslmode=require", "postgresql://a:1,b:2/db"),
        ("postgresql://u@[::1]:5432/db", "postgresql://[::1]:5432/db"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///run/postgresql/db"),
        ("postgresql:///?host=a,b&port=6432&dbname=d", "postgresql://a:6432,b:6432/d"),
        ("postgresql://u:tops@host/my%20db", "postgresql://host/my db"),
        ("sqlite:///events.db", "sqlite:///events.db"),
        ("sqlite:////data/a@b#c.db", "sqlite:////data/a@b#c.db"),
        ("sqlite:///events.db?mode=ro", "sqlite:///events.db?…"),
        ("memory://", "memory://"),
        ("redis://:tops@host:6379/0", "redis://host:6379/0"),
        ("unix:///run/redis.sock?db=1", "unix:///run/redis.sock?…"),
    ],
)
def test_what_is_no_secret_stays_readable(url: str, shown: str) -> None:
    assert str(SecretUrl(url)) == shown


def test_a_url_is_parsed_once_and_compared_with_its_password(tmp_path: Path) -> None:
    url = SecretUrl(f"sqlite:///{tmp_path}/events.db")
    assert SecretUrl.of(url) is url
    assert SecretUrl("redis://:a@h") != SecretUrl("redis://:b@h")
    assert {url, SecretUrl(url.given)} == {url}
