"""An issuer of tokens on this host: its keys, what it publishes, and what it signs."""

from __future__ import annotations

import json
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from support.network import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator

AUDIENCE: Final = "rules.example"


@cache
def key(name: str) -> Any:
    """Return a private key by its name: RSA where that begins with ``rsa``, else on P-256."""
    if name.startswith("rsa"):
        return rsa.generate_private_key(65_537, 1_024 if name == "rsa-small" else 2_048)
    return ec.generate_private_key(ec.SECP256R1())


def jwk(name: str, **fields: Any) -> dict[str, Any]:
    """Return the public key of a name as a set has it."""
    algorithm = RSAAlgorithm if name.startswith("rsa") else ECAlgorithm
    public = json.loads(algorithm.to_jwk(key(name).public_key()))
    return {"kid": name, "use": "sig", **public, **fields}


def key_set(*keys: dict[str, Any]) -> bytes:
    return json.dumps({"keys": keys}).encode()


def claims(issuer: str, now_us: int, **changed: Any) -> dict[str, Any]:
    """Return what a token for reading says; ``None`` leaves a claim out."""
    now = now_us // 1_000_000
    values = {
        "iss": issuer,
        "aud": AUDIENCE,
        "sub": "worker-1",
        "iat": now,
        "exp": now + 300,
        "scope": "openid eventstore:read",
        **changed,
    }
    return {name: value for name, value in values.items() if value is not None}


def signed(given: dict[str, Any], name: str = "ec-1", **header: Any) -> str:
    """Return a token, signed with the key of a name."""
    algorithm = header.pop("alg", "RS256" if name.startswith("rsa") else "ES256")
    return jwt.encode(given, key(name), algorithm, headers={"kid": name, **header})


class PublishingIssuer:
    """What an issuer publishes; ``down`` lets it answer with 500 alone."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.keys: list[dict[str, Any]] = [jwk("ec-1")]
        self.discovery: dict[str, Any] = {"issuer": url, "jwks_uri": f"{url}/keys"}
        self.down = False
        self.asked: list[str] = []

    def answer(self, path: str) -> tuple[int, bytes]:
        """Return status and body of an answer."""
        self.asked.append(path)
        if self.down:
            return 500, b"{}"
        if path == "/.well-known/openid-configuration":
            return 200, json.dumps(self.discovery).encode()
        return (200, key_set(*self.keys)) if path == "/keys" else (404, b"{}")


@contextmanager
def an_issuer() -> Iterator[PublishingIssuer]:
    """Give an issuer that answers at an address of this host."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = issuer.answer(self.path)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer((HOST, 0), Handler)
    issuer = PublishingIssuer(f"http://{HOST}:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
