"""What an attacker sends to a server: the bytes of a request for each attack, by name.

``TOKEN`` stands for a token with all scopes for the streams ``a/``, ``READER`` for one that only
reads, and ``REVOKED``, ``EXPIRED`` and ``STRANGE`` for one that was revoked, one whose time has
passed and one of another log; ``ELSEWHERE``, ``AHEAD`` and ``ALTERED`` for cursors of another log,
of a position to come and with another hash. docs/attacks.md has what each is answered.
"""

from __future__ import annotations

import gzip
from typing import Final

PATH: Final = "/v1/streams/a%2F1"
EVENT: Final = b'{"events":[{"type":"X","data":1}]}'


def get(target: str, *headers: str, method: str = "GET", token: str = "TOKEN") -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: x", f"Authorization: Bearer {token}", *headers]
    return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")


def post(body: bytes, *headers: str, target: str = PATH) -> bytes:
    kind = "" if any("content-type" in one.lower() for one in headers) else "application/json"
    given = [f"Content-Type: {kind}"] if kind else []
    length = [] if any("-encoding" in one for one in headers) else [f"Content-Length: {len(body)}"]
    return get(target, *given, *length, *headers, method="POST") + body


def nested(depth: int) -> bytes:
    return b'{"events":[{"type":"X","data":' + b"[" * depth + b"]" * depth + b"}]}"


def of_a_browser(request: bytes, *headers: str) -> bytes:
    """Return a request with the cookie of a session instead of ``Authorization``."""
    cookie = "\r\n".join(["Cookie: eventstore_session=TOKEN", *headers])
    return request.replace(b"Authorization: Bearer TOKEN", cookie.encode())


ATTACKS: Final[dict[str, bytes]] = {
    # Who asks.
    "no token": get("/v1/log").replace(b"Authorization: Bearer TOKEN\r\n", b""),
    "an empty token": get("/v1/log", token=""),
    "a guessed token": get("/v1/log", token="A" * 43),
    "a token with a NUL": get("/v1/log", token="a\x00b"),
    "a token that is not ASCII": get("/v1/log", token="\xff\xfe"),
    "a token in the query": get("/v1/log?token=TOKEN", token="x"),
    "a token as a password": get("/v1/log").replace(b"Bearer TOKEN", b"Basic TOKEN"),
    "the hash of a token": get("/v1/log", token="HASH"),
    "two tokens": get("/v1/log", "Authorization: Bearer x", token="x"),
    "a revoked token": get("/v1/log", token="REVOKED"),
    "an expired token": get("/v1/log", token="EXPIRED"),
    "a token of another log": get("/v1/log", token="STRANGE"),
    "a long token": get("/v1/log", token="x" * 20_000),
    # What is not theirs.
    "all streams": get("/v1/events"),
    "another category": get("/v1/events?streams=b/"),
    "a prefix that is wider": get("/v1/events?streams=a"),
    "a stream that steps out": get("/v1/events?streams=a/../b/1"),
    "two categories": get("/v1/events?streams=a/&streams=b/"),
    "a category in another case": get("/v1/events?streams=A/"),
    "the log's own streams": post(EVENT, target="/v1/streams/audit%2Ftokens"),
    "the log's own category": post(EVENT, target="/v1/streams/log%2Fredactions"),
    "the rules of others": get("/v1/rules/R1"),
    "a state of others": get("/v1/rules/R1/state", method="PUT"),
    "all views": get("/v1/views"),
    "live events of all": get("/v1/events/live?streams=b/"),
    "a category that looks the same": get("/v1/events?streams=%D0%B0/"),
    "a slash that looks the same": post(EVENT, target="/v1/streams/a%EF%BC%8F1"),
    "a name of invisible letters": post(EVENT, target="/v1/streams/a%E2%80%8B%2F1"),
    "an append by a reader": post(EVENT).replace(b"TOKEN", b"READER"),
    "a consumer by a reader": get("/v1/consumers/c", method="PUT", token="READER"),
    "a state by a reader": get("/v1/rules/R1/state", method="PUT", token="READER"),
    "a write as a store by a reader": post(
        b"\x80", "Content-Type: application/msgpack", target="/v1/store/write"
    ).replace(b"TOKEN", b"READER"),
    "the status of all": get("/v1/status"),
    "a page of others": get("/v1/pages/1/1-1024?streams=b/"),
    "a proxy's question for others": get("/v1/auth", "X-Original-URI: /v1/pages/1/1-2?streams=b/"),
    "two proxies' questions": get(
        "/v1/auth", "X-Original-URI: /v1/log", "X-Forwarded-Uri: /v1/events?streams=a/"
    ),
    # A browser that a page of another site leads.
    "another site's append": of_a_browser(post(EVENT), "Sec-Fetch-Site: cross-site"),
    "a sibling site's append": of_a_browser(post(EVENT), "Sec-Fetch-Site: same-site"),
    "another origin's append": of_a_browser(post(EVENT), "Origin: https://evil.example"),
    "an append of unknown origin": of_a_browser(post(EVENT)),
    "another site's form": of_a_browser(
        post(b"state=disabled", "Content-Type: text/plain"), "Sec-Fetch-Site: cross-site"
    ),
    "another site's sign-in": post(
        b'{"token":"TOKEN"}', "Sec-Fetch-Site: cross-site", target="/v1/session"
    ).replace(b"POST", b"PUT"),
    "another site's sign-out": get("/v1/session", "Sec-Fetch-Site: cross-site", method="DELETE"),
    "a cookie for a proxy's question": of_a_browser(get("/v1/auth", "X-Original-URI: /v1/log")),
    "a revoked token in a cookie": get("/v1/log").replace(
        b"Authorization: Bearer TOKEN", b"Cookie: eventstore_session=REVOKED"
    ),
    # Paths.
    "steps up": get("/v1/../../etc/passwd"),
    "encoded steps up": get("/v1/%2e%2e/%2e%2e/etc/passwd"),
    "steps in a stream": post(EVENT, target="/v1/streams/..%2F..%2Fetc"),
    "doubled slashes": get("//v1//log"),
    "a backslash": get("/v1\\log"),
    "an encoded slash in a route": get("/v1%2Flog"),
    "a NUL in a path": post(EVENT, target="/v1/streams/a%2F%00"),
    "wrong UTF-8 in a path": post(EVENT, target="/v1/streams/a%2F%ff"),
    "an overlong encoding": post(EVENT, target="/v1/streams/a%c0%af1"),
    "a lone surrogate": post(EVENT, target="/v1/streams/a%2F%ed%a0%80"),
    "an absolute target": get("http://other/v1/events"),
    "a very long path": get("/v1/" + "a" * 60_000),
    # Queries and headers.
    "a huge number": get(f"/v1/events?streams=a/&limit={'9' * 5_000}x"),
    "infinity": get("/v1/events?streams=a/&wait=inf"),
    "a number that is not ASCII": get("/v1/events?streams=a/&limit=%D9%A1"),
    "an unknown parameter": get("/v1/events?streams=a/&admin=1"),
    "a huge query": get("/v1/events?" + "x=1&" * 7_000),
    "a forged cursor": get("/v1/events?streams=a/&after=AAAA"),
    "a cursor of another log": get("/v1/events?streams=a/&after=ELSEWHERE"),
    "a cursor of what is to come": get("/v1/events?streams=a/&after=AHEAD"),
    "a cursor with another hash": get("/v1/events?streams=a/&after=ALTERED"),
    "a forged cursor of a live stream": get("/v1/events/live?streams=a/", "Last-Event-ID: ALTERED"),
    "a line of its own in the log": get("/v1/%0d%0a2026-01-01%20ERROR%20forged"),
    "a terminal's commands in the log": get("/v1/%1b[2Jforged", "User-Agent: \x1b[31mforged"),
    "a line break in a cursor": get("/v1/events/live?streams=a/&after=x%0d%0adata:%20y"),
    "a line break in a header": get("/v1/events/live?streams=a/", "Last-Event-ID: x\rdata: y"),
    "many headers": get("/v1/events", *[f"X-{n}: {'y' * 100}" for n in range(500)]),
    "a folded header": get("/v1/events", "X-A: b\r\n c"),
    "another method by a header": get(PATH, "X-HTTP-Method-Override: POST"),
    "another method by a query": get(f"{PATH}?_method=POST"),
    "TRACE": get("/v1/log", method="TRACE"),
    "CONNECT": get("other:443", method="CONNECT"),
    "a method that is none": get("/v1/log", method="G\x00T"),
    "another protocol": get("/v1/log").replace(b"HTTP/1.1", b"HTTP/9.9"),
    "no request at all": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    # Bodies.
    "a form": post(EVENT, "Content-Type: application/x-www-form-urlencoded"),
    "plain text": post(EVENT, "Content-Type: text/plain"),
    "deep JSON": post(nested(25_000)),
    "JSON that is deep and large": post(nested(100_000)),
    "JSON without an end": post(b'{"events":[{"type":"X","data":['),
    "an unknown field": post(b'{"events":[],"scopes":["admin"]}'),
    "wrong UTF-8": post(b'{"events":[{"type":"X","data":"\xff"}]}'),
    "a lone surrogate in JSON": post(b'{"events":[{"type":"\\ud800","data":1}]}'),
    "a NUL in a type": post(b'{"events":[{"type":"a\\u0000b","data":1}]}'),
    "a line break in a type": post(b'{"events":[{"type":"a\\r\\nid: 9","data":1}]}'),
    "NaN": post(b'{"events":[{"type":"X","data":NaN}]}'),
    "a number without an end": post(b'{"events":[{"type":"X","data":1e999999}]}'),
    "a version below none": post(b'{"events":[{"type":"X","data":1}],"expected":-9}'),
    "a version above all": post(EVENT[:-1] + b',"expected":' + b"9" * 400 + b"}"),
    "a large body": post(b" " * 70_000),
    "a gzip bomb": post(gzip.compress(b"0" * 10_000_000), "Content-Encoding: gzip"),
    "a gzip bomb that says it is JSON": post(gzip.compress(b"0" * 10_000_000)),
    "a bomb in a bomb": post(
        gzip.compress(gzip.compress(b"0" * 10_000_000)), "Content-Encoding: gzip, gzip"
    ),
    "a zip archive": post(b"PK\x03\x04" + b"\0" * 100, "Content-Type: application/zip"),
    # What one program reads otherwise than the next.
    "two lengths": post(EVENT, "Content-Length: 3"),
    "a length and chunks": post(
        EVENT, f"Content-Length: {len(EVENT)}", "Transfer-encoding: chunked"
    ),
    "a length below none": post(EVENT).replace(b"Content-Length: ", b"Content-Length: -"),
    "a chunk of no size": post(b"zz\r\nx\r\n0\r\n\r\n", "Transfer-encoding: chunked"),
    "an unknown encoding": post(EVENT, "Transfer-encoding: chunked, identity"),
    "a space before a colon": get("/v1/events", "X-A : b"),
    "a second host": get("/v1/events", "Host: y"),
}
