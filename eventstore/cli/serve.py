"""``serve`` and ``tokens``: the log over HTTP, and who may do what there."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.cli import serve_options
from eventstore.cli.contributions import contributions
from eventstore.cli.metrics import contributed_collectors
from eventstore.cli.options import By, user_name
from eventstore.cli.session import Session
from eventstore.cli.times import now, show_time
from eventstore.errors import ConfigError, InvalidInputError
from eventstore.log.clock import from_microseconds
from eventstore.server.tokens import Token, create_token, read_tokens, revoke_token
from eventstore.system.extras import needs_extra
from eventstore.system.listening import place_of
from eventstore.system.secret_url import SecretUrl, show_place
from eventstore.system.time_text import parse_duration, parse_time, shifted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eventstore.server.issuer import Issuer
    from eventstore.server.routes import Route
    from eventstore.store.event_store import EventStore

COLUMNS = ("token", "scopes", "streams", "expires", "created", "by")


async def serve(
    session: Session,
    *,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 is any.")
    ] = "127.0.0.1:8080",
    certificate: serve_options.Certificate,
    anonymous_read: Annotated[
        bool, typer.Option("--anonymous-read", help="Anyone may read, without a token.")
    ] = False,
    signed: serve_options.TokenIssuer,
    console: Annotated[
        bool, typer.Option("--console/--no-console", help="Show the console to browsers, at /.")
    ] = True,
    settings: serve_options.Settings,
) -> None:
    """Serve the log over HTTP, to those who have a token."""
    with needs_extra("server", "serving"):
        from eventstore.server import serving  # noqa: PLC0415 - an extra
        from eventstore.server.app import make_app  # noqa: PLC0415
    _check_no_server(session.settings.url)
    encrypted = certificate.tls_cert is not None
    # Before the log is opened: an address that cannot be used begins none.
    with serving.listen(listen, encrypted=encrypted, behind_proxy=settings.behind_proxy) as opened:
        url = f"{'https' if encrypted else 'http'}://{place_of(opened)}"
        issuer = _issuer(signed.oidc_issuer, signed.oidc_audience)
        async with session.open_store(create=True) as store:
            said = f"{show_place(store.url)} is served at {url}"
            app = make_app(
                store,
                anonymous_read=anonymous_read,
                settings=settings,
                routes=contributed_routes(store, without=() if console else ("console",)),
                issuer=issuer,
                collectors=contributed_collectors(),
            )
            await serving.serve(
                app,
                opened,
                certificate=certificate.tls_cert,
                key=certificate.tls_key,
                ready=partial(session.output.value, {"url": url}, said),
            )


def _check_no_server(url: str) -> None:
    if SecretUrl(url).scheme in {"http", "https"}:
        raise ConfigError(
            f"{show_place(url)} is a server already: serve the log by the URL of its database"
        )


def _issuer(url: str | None, audience: str | None) -> Issuer | None:
    """Return who signs tokens beside those of the log; None without one."""
    if (url is None) != (audience is None):
        raise ConfigError("--oidc-issuer and --oidc-audience go together")
    if url is None or audience is None:
        return None
    with needs_extra("oidc", "tokens of an issuer"):
        from eventstore.server.issuer import Issuer  # noqa: PLC0415 - an extra
    return Issuer(url, audience)


async def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="What the token is for.")],
    *,
    scope: Annotated[
        list[str], typer.Option(help="read, append, ack, state or admin; may be given again.")
    ],
    streams: Annotated[
        list[str] | None,
        typer.Option(help="Only for this category or stream; may be given again."),
    ] = None,
    expires: Annotated[
        str | None, typer.Option(metavar="TIME|AGE", help="A time, or 90d from now.")
    ] = None,
    by: By = None,
) -> None:
    """Create a token, and show it: it is stored nowhere."""
    async with session.open_store() as store:
        secret = await create_token(
            store,
            name,
            scope,
            streams=streams or (),
            expires_at=None if expires is None else _read_end(expires),
            by=user_name(by),
        )
    session.output.value({"name": name, "token": secret}, secret)


async def tokens(session: Session) -> None:
    """List the tokens that were not revoked."""
    async with session.open_store() as store:
        book, _ = await read_tokens(store)
    nothing = "no tokens: one is made by 'eventstore tokens create NAME --scope read'"
    session.output.listing(book.all(), _describe, COLUMNS, _row, nothing)


async def revoke(
    session: Session,
    name: Annotated[str, typer.Argument(help="The token's name.")],
    *,
    by: By = None,
) -> None:
    """Revoke a token: what it has open ends."""
    async with session.open_store() as store:
        await revoke_token(store, name, by=user_name(by))
    session.output.value({"name": name}, f"token {name} is revoked")


def contributed_routes(store: EventStore, *, without: Sequence[str] = ()) -> list[Route]:
    """Return the routes that the installed packages add, but for those of these names."""
    found: list[Route] = []
    for one in contributions().routes:
        if one.item.name not in without or not one.item.name:
            found += one.load(one.item.path)(store)
    return found


def _read_end(text: str) -> datetime:
    after = parse_duration(text)
    end = parse_time(text) if after is None else shifted(now(), after)
    if end is None or end <= now():
        raise InvalidInputError(f"--expires {text!r:.40}", "give a time to come, or 90d")
    return end


def _time(us: int | None) -> str:
    return "-" if us is None else show_time(from_microseconds(us))


def _describe(token: Token) -> dict[str, object]:
    return {
        "name": token.name,
        "scopes": sorted(token.scopes),
        "streams": list(token.streams),
        "expires_at": None if token.expires_us is None else from_microseconds(token.expires_us),
        "created_at": from_microseconds(token.created_us),
        "by": token.by,
    }


def _row(token: Token) -> tuple[str, ...]:
    return (
        token.name,
        " ".join(sorted(token.scopes)),
        " ".join(token.streams) or "all",
        _time(token.expires_us),
        _time(token.created_us),
        token.by,
    )
