"""Who may read the metrics of a process that serves nothing else, and how they are encrypted."""

from __future__ import annotations

import hmac
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from eventstore.errors import ConfigError
from eventstore.system.safe_files import read_regular

if TYPE_CHECKING:
    from collections.abc import Mapping

    from eventstore.config import MetricsSettings

MIN_TOKEN: Final = 16
"""Characters of a token, at least."""

MAX_TOKEN_FILE: Final = 4_096


@dataclass(frozen=True, slots=True)
class Guard:
    """What a request has to show, and the certificate; without either all is open and plain."""

    token: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(cls, settings: MetricsSettings) -> Self:
        """Return the one that the settings name; raise ConfigError for what cannot be used."""
        token = settings.token
        if settings.token_file:
            if token:
                raise ConfigError("metrics: give a token or a token_file, not both")
            token = _read_token(Path(settings.token_file))
        if token and (len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable()):
            raise ConfigError(f"the token for metrics: give {MIN_TOKEN} ASCII characters or more")
        return cls(token, _read_certificate(settings.tls_cert, settings.tls_key))

    def admits(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers may read, by names in lower case."""
        if not self.token:
            return True
        scheme, _, given = headers.get("authorization", "").partition(" ")
        same = hmac.compare_digest(given.strip().encode(), self.token.encode())
        return same and scheme.lower() == "bearer"


def _read_token(file: Path) -> str:
    try:
        token = read_regular(file, MAX_TOKEN_FILE, follow=True).decode().strip()
    except (OSError, ValueError) as error:
        raise ConfigError(f"the token for metrics cannot be read from {file}: {error}") from error
    if not token:
        raise ConfigError(f"the token for metrics: {file} is empty")
    return token


def _read_certificate(certificate: str, key: str) -> ssl.SSLContext | None:
    if bool(certificate) != bool(key):
        raise ConfigError("metrics: tls_cert and tls_key go together")
    if not certificate:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:  # SSLError among them.
        raise ConfigError(f"metrics: {certificate} and {key}: {error}") from error
    return context
