"""The options of ``serve``: who is let in, and what clients may ask for; see ServerSettings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from eventstore.cli.option_groups import Described
from eventstore.errors import ConfigError
from eventstore.server.settings import ServerSettings

Settings: TypeAlias = Annotated[
    ServerSettings,
    Described(
        {
            "behind_proxy": typer.Option("--behind-proxy", help="A proxy in front encrypts."),
            "page_max_age": typer.Option(metavar="SECONDS", help="How long caches may keep pages."),
            "shared_pages": typer.Option(
                "--shared-pages",
                help="A cache for all clients may keep pages: it asks /v1/auth for each request.",
            ),
            "max_body": typer.Option(metavar="BYTES", help="The largest body."),
            "max_headers": typer.Option(
                metavar="BYTES", help="The largest request line with its headers."
            ),
            "header_seconds": typer.Option(
                metavar="SECONDS", help="Time for a request's headers to come."
            ),
            "body_seconds": typer.Option(
                metavar="SECONDS", help="Time for a request's body to come."
            ),
            "write_seconds": typer.Option(
                metavar="SECONDS", help="Time that an answer may be left unread."
            ),
            "connections": typer.Option(help="Connections in all."),
            "token_requests": typer.Option(help="Requests of one token that are answered at once."),
            "streams": typer.Option(help="Live streams and waits in all."),
            "token_streams": typer.Option(help="Live streams and waits of one token."),
            "rate": typer.Option(
                help="Requests a second of one token; twice as many may come at once."
            ),
        }
    ),
]


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server encrypts with: both files, or neither."""

    tls_cert: Annotated[
        Path | None, typer.Option(metavar="FILE", help="The certificate, in PEM.")
    ] = None
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key, in PEM.")] = None

    def __post_init__(self) -> None:
        if (self.tls_cert is None) != (self.tls_key is None):
            raise ConfigError("--tls-cert and --tls-key go together")


@dataclass(frozen=True, slots=True)
class TokenIssuer:
    """Who signs tokens beside those of the log: both options, or neither."""

    oidc_issuer: Annotated[
        str | None, typer.Option(metavar="URL", help="Who signs further tokens (OpenID Connect).")
    ] = None
    oidc_audience: Annotated[
        str | None, typer.Option(metavar="NAME", help="This server's name in those tokens.")
    ] = None
