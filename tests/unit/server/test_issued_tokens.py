"""What tokens of an issuer give access, and which attacks on them do not."""

from __future__ import annotations

import base64
import hmac
import json
import traceback
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from support.issuers import AUDIENCE, claims, jwk, key, key_set, signed

from eventstore.cli.serve import _issuer
from eventstore.errors import ConfigError
from eventstore.server._problems import HttpError
from eventstore.server.issued_tokens import RefusedTokenError, read_keys, read_token
from eventstore.server.issuer import LOOK_SECONDS, STALE_SECONDS, Issuer
from eventstore.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from eventstore.server.issued_tokens import Key

ISSUER = "https://login.example"
NOW = 1_800_000_000_000_000


@cache
def keys_of_the_issuer() -> dict[str, Key]:
    return read_keys(key_set(jwk("ec-1"), jwk("rsa-1")))


def read(token: str) -> Any:
    return read_token(token, keys_of_the_issuer(), ISSUER, AUDIENCE, NOW)


def given(**changed: Any) -> dict[str, Any]:
    return claims(ISSUER, NOW, **changed)


def test_a_token_allows_what_its_claims_say() -> None:
    token = read(signed(given()))
    assert (token.name, token.scopes, token.streams) == ("oidc worker-1", {"read"}, ())
    assert (token.allows("read"), token.allows("append")) == (True, False)
    for scopes in ({"scp": ["eventstore:append"]}, {"scope": "eventstore:append"}):
        token = read(signed(given(**{"scope": None, **scopes}), "rsa-1"))
        assert token.scopes == {"append"}
    token = read(signed(given(eventstore_streams=["order/", "a/1"], aud=["x", AUDIENCE])))
    assert [token.covers(one) for one in ("order/1", "a/1", "a/2", None)] == [
        True, True, False, False,
    ]  # fmt: skip


REFUSED: dict[str, dict[str, Any]] = {
    "expired": {"exp": NOW // 10**6 - 61},
    "without an end": {"exp": None},
    "an end that is none": {"exp": "tomorrow"},
    "an end beyond all": {"exp": 10**30},
    "not valid yet": {"nbf": NOW // 10**6 + 61},
    "another audience": {"aud": "other.example"},
    "no audience": {"aud": None},
    "another issuer": {"iss": "https://login.example.evil"},
    "an issuer with more behind it": {"iss": f"{ISSUER}/"},
    "no subject": {"sub": None},
    "a subject that is no text": {"sub": 7},
    "a subject that breaks lines": {"sub": "a\nb"},
    "a subject that is too long": {"sub": "a" * 101},
    "no scope": {"scope": None},
    "scopes of others": {"scope": "read admin eventstore:root eventstore:"},
    "streams that are no list": {"eventstore_streams": "order/"},
    "no stream": {"eventstore_streams": []},
    "a stream that is none": {"eventstore_streams": ["order/", 7]},
    "a stream that is nothing": {"eventstore_streams": ["order/", None]},
}


@pytest.mark.parametrize("name", REFUSED)
def test_claims_that_do_not_fit_give_no_access(name: str) -> None:
    with pytest.raises(RefusedTokenError):
        read(signed(given(**REFUSED[name])))


@pytest.mark.parametrize("change", [{"exp": -59}, {"nbf": 59}])
def test_clocks_may_differ_by_a_minute(change: dict[str, int]) -> None:
    now = NOW // 10**6
    assert read(signed(given(**{name: now + by for name, by in change.items()}))).name


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def with_public_key_as_secret() -> str:
    """Sign by HS256, with what everyone knows of the issuer's key."""
    public = key("rsa-1").public_key()
    pem = public.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    body = f"{part({'alg': 'HS256', 'kid': 'rsa-1'})}.{part(given())}"
    code = hmac.digest(pem, body.encode(), sha256)
    return f"{body}.{base64.urlsafe_b64encode(code).decode().rstrip('=')}"


def unsigned(algorithm: str) -> str:
    return f"{part({'alg': algorithm, 'kid': 'ec-1'})}.{part(given())}."


def altered(token: str, at: int) -> str:
    parts = token.split(".")
    parts[at] = ("A" if parts[at][0] != "A" else "B") + parts[at][1:]
    return ".".join(parts)


ATTACKS: dict[str, Callable[[], str]] = {
    "alg none": lambda: unsigned("none"),
    "alg None": lambda: unsigned("nOnE"),
    "no signature": lambda: unsigned("ES256"),
    "HS256 with the public key": with_public_key_as_secret,
    "another key under a known name": lambda: signed(given(), "ec-2", kid="ec-1"),
    "an algorithm of another kind of key": lambda: signed(given(), "rsa-1", kid="ec-1"),
    "a key of its own": lambda: signed(given(), "ec-2", kid="ec-1", jwk=jwk("ec-2")),
    "an address of its own": lambda: signed(
        given(), "ec-2", kid="ec-1", jku="http://127.0.0.1:1/keys"
    ),
    "a certificate of its own": lambda: signed(
        given(), "ec-2", kid="ec-1", x5u="http://127.0.0.1:1/c"
    ),
    "a critical header": lambda: signed(given(), crit=["exp"], exp=1),
    "another kind of token": lambda: signed(given(), typ="logout+jwt"),
    "no name of a key": lambda: jwt.encode(given(), key("ec-1"), "ES256"),
    "a name that is a path": lambda: signed(given(), kid="../../dev/null"),
    "a name that is a statement": lambda: signed(given(), kid="' OR 1=1 --"),
    "a name that is a list": lambda: (
        f"{part({'alg': 'ES256', 'kid': ['ec-1']})}.{part(given())}.AA"
    ),
    "altered claims": lambda: altered(signed(given()), 1),
    "an altered signature": lambda: altered(signed(given()), 2),
    "a huge token": lambda: signed(given(more="x" * 9_000)),
    "nested without end": lambda: f"{'A' * 10}.{base64.urlsafe_b64encode(b'[' * 5000).decode()}.A",
    "nothing": lambda: "..",
    "signs of no alphabet": lambda: "é.é.é",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_give_no_access(name: str) -> None:
    with pytest.raises(RefusedTokenError) as refused:
        read(ATTACKS[name]())
    assert "eyJ" not in str(refused.value)


def test_headers_that_bring_keys_are_not_looked_at() -> None:
    token = signed(given(), jku="http://127.0.0.1:1/keys", x5u="http://127.0.0.1:1/c", jwk={})
    assert read(token).name == "oidc worker-1"


def test_keys_that_are_of_no_use_are_passed_over() -> None:
    secret = {"kty": "oct", "kid": "oct", "k": "AAAA", "alg": "HS256"}
    private = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key("ec-2"))) | {"kid": "private"}
    body = key_set(
        secret, private, jwk("rsa-small"), jwk("ec-1", use="enc"), jwk("ec-2", alg="HS256"),
        jwk("ec-3", kid=7), jwk("rsa-1", alg="PS256"), {"kty": "EC", "kid": "half", "crv": "P-256"},
    )  # fmt: skip
    keys = read_keys(body)
    assert set(keys) == {"rsa-1"}
    with pytest.raises(RefusedTokenError):
        read_token(signed(given(), "rsa-1"), keys, ISSUER, AUDIENCE, NOW)
    good = signed(given(), "rsa-1", alg="PS256")
    assert read_token(good, keys, ISSUER, AUDIENCE, NOW).scopes == {"read"}
    for nothing in (b"", b"[]", b"{", b"[" * 5_000):
        with pytest.raises(RefusedTokenError):
            read_keys(nothing)
    assert read_keys(b"{}") == read_keys(b'{"keys": 7}') == {}


def test_keys_are_used_for_an_hour_without_the_issuer_and_then_not() -> None:
    clock = FakeClock()
    issuer = Issuer(ISSUER, AUDIENCE, clock=lambda: clock() / 1_000_000)
    token = signed(given())
    with pytest.raises(HttpError, match="not known"):
        issuer.identify(token, NOW)
    issuer.use(keys_of_the_issuer())
    known = issuer.identify(token, NOW)
    assert known is not None
    clock.now_us += int(STALE_SECONDS * 1_000_000) - 1
    assert issuer.holds(known, NOW)
    clock.now_us += 1
    assert not issuer.holds(known, NOW)
    with pytest.raises(HttpError) as closed:
        issuer.identify(token, NOW)
    assert closed.value.status == 503


def test_a_key_that_is_withdrawn_ends_its_tokens_and_unknown_ones_ask_rarely() -> None:
    clock = FakeClock()
    issuer = Issuer(ISSUER, AUDIENCE, clock=lambda: clock() / 1_000_000)
    issuer.use(keys_of_the_issuer())
    token = signed(given())
    known = issuer.identify(token, NOW)
    assert known is not None
    assert not issuer.holds(known, NOW + 361_000_000)
    assert issuer.identify(token, NOW + 361_000_000) is None
    assert not issuer.use(dict(keys_of_the_issuer()))
    assert issuer.use({"rsa-1": keys_of_the_issuer()["rsa-1"]})
    assert not issuer.holds(known, NOW)
    with pytest.raises(HttpError, match="asked for its keys"):
        issuer.identify(token, NOW)
    assert [issuer.identify(token, NOW) for _ in range(3)] == [None] * 3
    clock.now_us += int(LOOK_SECONDS * 1_000_000)
    with pytest.raises(HttpError, match="asked for its keys"):
        issuer.identify(token, NOW)


@pytest.mark.parametrize(
    "url",
    ["http://login.example", "ftp://127.0.0.1", "https://", "https://a@login.example", "login",
     "https://login.example?x=1", "https://login.example#x", "http://[::1", "http://127.0.0.1.evil",
     "https://u:TOPSECRET@login.example", "http://u:TOPSECRET@login.example",
     "https://login.example:TOPSECRET", "https://login.example:99999"],
)  # fmt: skip
def test_an_issuer_that_others_could_answer_for_is_refused(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Issuer(url, AUDIENCE)
    assert "TOPSECRET" not in "".join(traceback.format_exception(refused.value, limit=0))


def test_the_options_of_an_issuer_go_together() -> None:
    assert _issuer(None, None) is None
    assert _issuer(ISSUER, AUDIENCE) is not None
    for url, audience in ((ISSUER, None), (None, AUDIENCE), (ISSUER, "")):
        with pytest.raises(ConfigError, match="audience"):
            _issuer(url, audience)
