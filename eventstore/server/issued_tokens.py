"""Tokens that an issuer has signed (OpenID Connect, RFC 9068): what they say, checked offline.

Nothing in a token chooses how it is checked: not the algorithm beyond what its key is for, and no
key or address that it brings along (``jwk``, ``jku``, ``x5c``, ``x5u``). Keys are those of the
issuer's set, by their ``kid``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import jwt
import msgspec

from eventstore.errors import EventStoreError, InvalidInputError
from eventstore.log.names import check_name
from eventstore.log.validation import check_streams
from eventstore.server.tokens import SCOPES, IssuedToken

if TYPE_CHECKING:
    from collections.abc import Mapping

LARGEST_TOKEN: Final = 8_192
"""Characters of a token at the most."""

SKEW_SECONDS: Final = 60
"""Seconds by which the issuer's clock and this one may differ."""

SCOPE_PREFIX: Final = "eventstore:"
"""What the words of ``scope`` and ``scp`` that are meant for this server begin with."""

STREAMS_CLAIM: Final = "eventstore_streams"
"""The claim that names the categories and streams of a token; without it, it is for all."""

LONGEST_NAME: Final = 100
"""Bytes of ``sub``."""

_SMALLEST_RSA: Final = 2_048
_FOR_RSA: Final = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_FOR_CURVE: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
_TYPES: Final = frozenset({"jwt", "at+jwt", "application/at+jwt"})


class RefusedTokenError(EventStoreError):
    """A signed token gives no access; ``reason`` has no part of it.

    ``unknown_key`` is True where no key of the issuer has signed it, as far as they are known.
    """

    def __init__(self, reason: str, *, unknown_key: bool = False) -> None:
        super().__init__(f"a token of the issuer is refused: {reason}")
        self.reason, self.unknown_key = reason, unknown_key


class Key(NamedTuple):
    """A public key of an issuer, and the algorithms that it may have signed with."""

    public: Any
    algorithms: frozenset[str]


class _Jwk(msgspec.Struct):
    """A key as a set has it, as far as it is chosen by; the rest is the library's."""

    kty: str
    kid: str
    use: str = "sig"
    alg: str | None = None
    crv: str = ""
    d: str | None = None
    """Private: a set that shows it has lost it."""


def read_keys(body: bytes) -> dict[str, Key]:
    """Return the public keys of a set (RFC 7517) by ``kid``; what is of no use is passed over.

    Raises RefusedTokenError where it is no set.
    """
    try:
        given = msgspec.json.decode(body, type=dict[str, Any]).get("keys")
    except (msgspec.MsgspecError, RecursionError) as error:
        raise RefusedTokenError("what the issuer gives is no set of keys") from error
    keys: dict[str, Key] = {}
    for one in given if isinstance(given, list) else ():
        try:
            jwk = msgspec.convert(one, _Jwk)
            allowed = _algorithms(jwk)
            if not allowed or jwk.d is not None or jwk.use != "sig" or jwk.kid in keys:
                continue
            public = jwt.PyJWK(one, min(allowed)).key
        except (msgspec.ValidationError, jwt.PyJWTError, ValueError, TypeError):
            continue
        if jwk.kty != "RSA" or public.key_size >= _SMALLEST_RSA:
            keys[jwk.kid] = Key(public, allowed)
    return keys


def _algorithms(jwk: _Jwk) -> frozenset[str]:
    """Return what a key may be used with: never what is for secrets that both sides have."""
    if jwk.kty == "RSA":
        fitting = _FOR_RSA
    elif jwk.kty == "EC":
        fitting = frozenset({_FOR_CURVE.get(jwk.crv, "")}) - {""}
    elif jwk.kty == "OKP" and jwk.crv == "Ed25519":
        fitting = frozenset({"EdDSA"})
    else:
        return frozenset()
    return fitting if jwk.alg is None else fitting & {jwk.alg}


def read_token(
    secret: str, keys: Mapping[str, Key], issuer: str, audience: str, now_us: int
) -> IssuedToken:
    """Return what a signed token allows now; raise RefusedTokenError."""
    if len(secret) > LARGEST_TOKEN:
        raise RefusedTokenError(f"it has more than {LARGEST_TOKEN} characters")
    key_id, key = _key_of(secret, keys)
    try:
        claims = jwt.decode(
            secret,
            key.public,
            algorithms=sorted(key.algorithms),
            audience=audience,
            issuer=issuer,
            # The times are compared below, with the log's clock.
            options={
                "require": ["exp", "iss", "aud", "sub"],
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
            },
        )
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise RefusedTokenError(_reason(error)) from error
    return _allowed(claims, key_id, now_us)


def _key_of(secret: str, keys: Mapping[str, Key]) -> tuple[str, Key]:
    try:
        header = jwt.get_unverified_header(secret)
    except (jwt.PyJWTError, ValueError, TypeError, RecursionError) as error:
        raise RefusedTokenError("it is no signed token") from error
    kind = header.get("typ", "JWT")
    if not isinstance(kind, str) or kind.lower() not in _TYPES or "crit" in header:
        raise RefusedTokenError("it is of a kind that is not known here")
    key_id = header.get("kid")
    if not isinstance(key_id, str):
        raise RefusedTokenError("it names no key")
    if key_id not in keys:
        raise RefusedTokenError("the issuer has no such key", unknown_key=True)
    return key_id, keys[key_id]


def _reason(error: Exception) -> str:
    """Say what is wrong, in words of the library that have no part of the token."""
    return f"it does not hold ({type(error).__name__.removesuffix('Error')})"


def _allowed(claims: Mapping[str, Any], key_id: str, now_us: int) -> IssuedToken:
    expires, begins = claims["exp"], claims.get("nbf", 0)
    for time in (expires, begins):
        if isinstance(time, bool) or not isinstance(time, int | float) or not 0 <= time < 2**40:
            raise RefusedTokenError("its times are none")
    expires_us = int((expires + SKEW_SECONDS) * 1_000_000)
    if expires_us <= now_us:
        raise RefusedTokenError("it has expired")
    if (begins - SKEW_SECONDS) * 1_000_000 > now_us:
        raise RefusedTokenError("it is not valid yet")
    words = {f"{SCOPE_PREFIX}{scope}": scope for scope in SCOPES}
    scopes = frozenset(words[word] for word in _words(claims) if word in words)
    if not scopes:
        raise RefusedTokenError(f"it has no scope that begins with {SCOPE_PREFIX!r}")
    try:
        name = check_name("sub", claims["sub"], LONGEST_NAME)
        streams = _streams(claims)
    except InvalidInputError as error:
        raise RefusedTokenError("its subject or its streams are no names") from error
    return IssuedToken(f"oidc {name}", "", scopes, streams, expires_us, created_us=0, key_id=key_id)


def _words(claims: Mapping[str, Any]) -> list[str]:
    """Return the words of ``scope`` (RFC 8693) and ``scp``, which is text or a list."""
    words: list[str] = []
    for given in (claims.get("scope"), claims.get("scp")):
        if isinstance(given, str):
            words += given.split()
        elif isinstance(given, list):
            words += [one for one in given if isinstance(one, str)]
    return words


def _streams(claims: Mapping[str, Any]) -> tuple[str, ...]:
    if STREAMS_CLAIM not in claims:
        return ()
    given = claims[STREAMS_CLAIM]
    if not isinstance(given, list) or not given:
        raise InvalidInputError(STREAMS_CLAIM, "give a list of categories and streams")
    return tuple(one for name in given if (one := check_streams(name or "")) is not None)
