"""One server, asked over HTTP: its URL with the token, and requests with typed errors."""

from __future__ import annotations

import ipaddress
import re
import ssl
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, TypeVar

import httpx

from eventstore.errors import ConfigError, StorageError
from eventstore.remote.problems import error_of_answer
from eventstore.remote.wire import MAX_ANSWER, MEDIA_TYPE, READ_PATH, decode, encode
from eventstore.system.http_spans import client_span, note_answer
from eventstore.system.http_url import read_http_url
from eventstore.system.secret_url import SecretUrl
from eventstore.system.traces import add_trace_headers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore.remote.wire import Read

T = TypeVar("T")

CONNECT_SECONDS: Final = 10.0
"""Seconds that connecting may take."""

ANSWER_SECONDS: Final = 45.0
"""Seconds without a byte of an answer: longer than a server waits for its own database."""

CONNECTIONS: Final = 32
"""Connections of one store at the most."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9_.-]+")
_LOOPBACK: Final = frozenset({"localhost"})


class Connection:
    """Asks one server; may be used by any number of threads.

    ``url`` is ``https://TOKEN@HOST[:PORT][/PATH]``, or ``http://`` on this host. Without a token
    it reads what a server shows to anyone. Raises ConfigError for any other form.
    """

    def __init__(self, url: str | SecretUrl) -> None:
        secret = SecretUrl.of(url)
        self.url = str(secret)
        """Names the server in messages, without the token."""
        base, token = _parse(secret)
        self._server = base.host, base.port or (80 if base.scheme == "http" else 443)
        headers = {"accept-encoding": "identity", "user-agent": "eventstore"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        self._client = httpx.Client(
            base_url=base,
            headers=headers,
            timeout=httpx.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS),
            limits=httpx.Limits(max_connections=CONNECTIONS),
            follow_redirects=False,
            # Loading the certificates takes longer than all else here.
            verify=httpx.create_ssl_context() if base.scheme == "https" else False,
            # A proxy of the environment would get the token of an address of this host in clear.
            trust_env=base.scheme == "https",
        )

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def read(self, asked: Read, shape: type[T]) -> T:
        """Ask for something; ask once more where the connection was lost: reading repeats well."""
        body = encode(asked)
        try:
            answer = self.post(READ_PATH, body)
        except StorageError as error:
            if not error.transient:
                raise
            answer = self.post(READ_PATH, body)
        return decode(answer, shape, self.url)

    def post(self, path: str, body: bytes) -> bytes:
        """Return the answer to a body; raise the error that the answer stands for.

        Raises StorageError, ``transient`` where the server cannot be reached or does not answer.
        """
        span_of = client_span("POST", path, *self._server)
        with span_of as span, self._opened("POST", path, body) as answer:
            note_answer(span, answer.status_code, 400)
            return self._whole(answer)

    @contextmanager
    def events(self, path: str, silence: float) -> Iterator[httpx.Response]:
        """Give an answer without an end, to be read; ``silence`` is the longest, in seconds.

        Raises what :meth:`post` raises, also within the block.
        """
        timeout = httpx.Timeout(silence, connect=CONNECT_SECONDS)
        with self._opened("GET", path, None, timeout) as answer:
            yield answer

    @contextmanager
    def _opened(
        self, method: str, path: str, body: bytes | None, timeout: httpx.Timeout | None = None
    ) -> Iterator[httpx.Response]:
        headers = {"content-type": MEDIA_TYPE, "accept": MEDIA_TYPE} if body is not None else {}
        add_trace_headers(headers)
        request = self._client.build_request(method, path, content=body, headers=headers)
        if timeout is not None:
            request.extensions["timeout"] = timeout.as_dict()
        with self._translated():
            answer = self._client.send(request, stream=True)
            try:
                if answer.status_code != httpx.codes.OK:
                    kind = answer.headers.get("content-type", "")
                    body = self._read(answer)
                    raise error_of_answer(self.url, answer.status_code, kind, body)
                yield answer
            finally:
                answer.close()

    def _whole(self, answer: httpx.Response) -> bytes:
        kind = answer.headers.get("content-type", "")
        if kind != MEDIA_TYPE:
            raise error_of_answer(self.url, answer.status_code, kind, b"")
        return self._read(answer)

    def _read(self, answer: httpx.Response) -> bytes:
        body = bytearray()
        for chunk in answer.iter_raw():
            body += chunk
            if len(body) > MAX_ANSWER:
                raise StorageError(self.url, f"answered with more than {MAX_ANSWER} bytes")
        return bytes(body)

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            reason = f"does not answer in time ({type(error).__name__})"
            raise StorageError(self.url, reason, transient=True) from error
        except httpx.TransportError as error:
            reason = f"cannot be reached: {str(error) or type(error).__name__}"
            raise StorageError(self.url, reason, transient=not _is_refused(error)) from error
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise StorageError(self.url, f"answers no HTTP: {error}") from error
        except RuntimeError as error:
            if not self._client.is_closed:
                raise
            raise StorageError(self.url, "the connection was closed") from error


def _is_refused(error: BaseException) -> bool:
    """Whether the certificate is not trusted: asking again does not help."""
    return "CERTIFICATE_VERIFY_FAILED" in str(error) or isinstance(
        error.__cause__, ssl.SSLCertVerificationError
    )


def _parse(url: SecretUrl) -> tuple[httpx.URL, str]:
    """Return a server's address, and the token."""
    user, _, place = url.authority.rpartition("@")
    if url.query or "@" in url.path:
        raise ConfigError(f"the log's URL {url!r}: give https://TOKEN@HOST, and nothing behind it")
    if user and not _TOKEN.fullmatch(user):
        reason = "a token before the '@' is letters, digits, '-' and '_' alone"
        raise ConfigError(f"the log's URL {url!r}: {reason}")
    try:
        base = read_http_url(f"{url.scheme}://{place}{url.path.rstrip('/')}")
    except ValueError as error:
        raise ConfigError(f"the log's URL {url!r}: {error}") from None
    if not base.host:
        raise ConfigError(f"the log's URL {url!r}: it names no host")
    if base.scheme == "http" and not _is_loopback(base.host):
        reason = "the token would travel in clear: http:// is for this host, others have https://"
        raise ConfigError(f"the log's URL {url!r}: {reason}")
    return base, user


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host in _LOOPBACK
