"""The options of ``serve`` that limit what clients may ask for; see ServerSettings."""

from __future__ import annotations

from typing import Annotated, TypeAlias

import typer

OidcIssuer: TypeAlias = Annotated[
    str | None, typer.Option(metavar="URL", help="Who signs further tokens (OpenID Connect).")
]
OidcAudience: TypeAlias = Annotated[
    str | None, typer.Option(metavar="NAME", help="This server's name in those tokens.")
]
PageMaxAge: TypeAlias = Annotated[
    int, typer.Option(metavar="SECONDS", help="How long caches may keep pages.")
]
SharedPages: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--shared-pages",
        help="A cache for all clients may keep pages: it asks /v1/auth for each request.",
    ),
]
MaxBody: TypeAlias = Annotated[int, typer.Option(metavar="BYTES", help="The largest body.")]
MaxHeaders: TypeAlias = Annotated[
    int, typer.Option(metavar="BYTES", help="The largest request line with its headers.")
]
HeaderSeconds: TypeAlias = Annotated[
    float, typer.Option(metavar="SECONDS", help="Time for a request's headers to come.")
]
BodySeconds: TypeAlias = Annotated[
    float, typer.Option(metavar="SECONDS", help="Time for a request's body to come.")
]
WriteSeconds: TypeAlias = Annotated[
    float, typer.Option(metavar="SECONDS", help="Time that an answer may be left unread.")
]
Connections: TypeAlias = Annotated[int, typer.Option(help="Connections in all.")]
TokenRequests: TypeAlias = Annotated[
    int, typer.Option(help="Requests of one token that are answered at once.")
]
Streams: TypeAlias = Annotated[int, typer.Option(help="Live streams and waits in all.")]
TokenStreams: TypeAlias = Annotated[int, typer.Option(help="Live streams and waits of one token.")]
Rate: TypeAlias = Annotated[
    float, typer.Option(help="Requests a second of one token; twice as many may come at once.")
]
