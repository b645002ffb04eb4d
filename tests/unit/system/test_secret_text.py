"""A message that quotes what was given shows no password, in whole or in part."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from eventstore.system.secret_text import Secrets, conceal

SECRET = "T0PS3CR3T"
SCHEMES = ["postgresql", "POSTGRESQL", "redis", "rediss", "unix", "sqlite", "mysql+driver", "https"]
SPELLINGS = [
    "{}://u:{}@h",
    "{}://:{}@h/db",
    "{}://u:a@{}@h:5432/db",
    "{}://u:a/{}@h",
    "{}://u:a:{}@h",
    "{}://u:a%40{}@h",
    "{}://u:a?{}#x@h",
    "{}://u:{}",
    "{}:/u:{}@h",
    "{}://h/db?password={}",
    "{}://h/db?x=1&sslpassword={}",
    "{}://h/db?user={}",
]
DSNS = ["host=h password={}", "host=h password = '{}'", "password='a {}' host=h", "sslpassword={}"]
GIVEN = {scheme: [spelling.format(scheme, SECRET) for spelling in SPELLINGS] for scheme in SCHEMES}
GIVEN["dsn"] = [dsn.format(SECRET) for dsn in DSNS]
BARE = [f"u:{SECRET}@h", f"postgresql://u:a b {SECRET}@h/db"]


@pytest.mark.parametrize("scheme", GIVEN)
@pytest.mark.parametrize("frame", ["{}", "bad argument ({})", "{!r} is not known", "--url={}"])
def test_a_text_of_any_origin_shows_no_password(scheme: str, frame: str) -> None:
    for text in GIVEN[scheme]:
        assert SECRET not in conceal(frame.format(text)), text


@pytest.mark.parametrize("scheme", [*GIVEN, "bare"])
def test_what_was_given_is_not_shown_in_part_either(scheme: str) -> None:
    for text in GIVEN.get(scheme, BARE):
        secrets = Secrets()
        secrets.learn([text])
        part = repr(text[: text.index(SECRET) + len(SECRET)])
        cut = [f'invalid port "{SECRET}"', f"{part}…", f"host {SECRET}@h"]
        for said in (text, repr(text), *cut):
            assert SECRET not in secrets.conceal(f"it failed: {said}"), text


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://127.0.0.1:5432/db: refused",
        "postgresql://h1:5432,h2:5433/db",
        "redis://[::1]:6379: the connection was lost",
        "see https://wiki.example.org/a?b=1&c=2#d",
        "sqlite:////var/log/events.db?mode=ro",
        "owner host:17, at 12:30:00+01:00",
        "rules/a.yml:3: rule R1: match is missing",
        "anchor: 0190-aa:17:00ff",
        "ana@example.org and bob@example.org",
        "a: b@c",
    ],
)
def test_what_holds_no_password_is_shown_as_it_is(text: str) -> None:
    assert Secrets().conceal(text) == text


def test_a_password_that_is_part_of_a_word_hides_only_itself() -> None:
    secrets = Secrets()
    secrets.learn(["postgresql://postgres:postgres@h/db"])
    assert secrets.conceal("postgresql://h/db refused postgres") == "postgresql://h/db refused …"


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=6))
def test_any_password_that_was_given_is_hidden(password: str) -> None:
    url = f"postgresql://user-of-it:{password}@server.example/db"
    secrets = Secrets()
    secrets.learn([url])
    hidden = {"postgresql://server.example/db", "postgresql://…"}  # The second: no URL as it is.
    assert secrets.conceal(f"error: {url}: refused") in {
        secrets.conceal(f"error: {shown}: refused") for shown in hidden
    }


@pytest.mark.parametrize(
    "part",
    ["x", "a:/", "a:", "a://", "://u:", "password", "password='", "?user=", "-", "a+", "u:p@"],
)
def test_the_time_is_proportional_to_the_length_whatever_the_text(part: str) -> None:
    """A time that grows with the square of it would be hours, and the test's timeout its end."""
    length = 400_000 // len(part)
    assert SECRET not in Secrets().conceal(f"=:/ s://u:{SECRET}@h/ {part * length}")
