"""``outbox``: deliver events to a webhook, and look after those that did not arrive."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from eventstore.cli import output
from eventstore.cli.events import EventFilter
from eventstore.cli.metrics import Address, MetricsEndpoint
from eventstore.cli.options import By, WaitForLog, user_name
from eventstore.cli.session import Session
from eventstore.cli.times import show_time
from eventstore.errors import InvalidInputError
from eventstore.outbox import Outbox, drop_dead_letters, read_dead_letters, request_retry
from eventstore.outbox.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from eventstore.outbox.letters import DeadLetter

COLUMNS = ("position", "stream", "failed", "reason")

Name = Annotated[str, typer.Argument(help="The outbox: a consumer's name.")]


async def run(
    session: Session,
    name: Name,
    *,
    to: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The webhook; default the setting outbox.webhook_url."),
    ] = None,
    events: EventFilter,
    attempts: Annotated[
        int, typer.Option(min=1, help="After so many attempts an event is given up.")
    ] = 12,
    concurrency: Annotated[
        int, typer.Option(min=1, max=1_000, help="So many deliveries at the same time.")
    ] = 16,
    once: Annotated[bool, typer.Option("--once", help="End at the head.")] = False,
    wait_for_log: WaitForLog = 0.0,
    metrics: Address = None,
) -> None:
    """Deliver each event to a webhook until it has arrived, in the order of its stream.

    Signed where the environment variable EVENTSTORE_OUTBOX_WEBHOOK_SECRET has a secret. What
    cannot be delivered is listed by 'outbox letters', and tried again by 'outbox retry'.
    """
    delivering = _webhook(session, to)
    endpoint = MetricsEndpoint(session, metrics)
    await session.wait_for_log(wait_for_log)
    async with (
        endpoint,
        session.open_store() as store,
        endpoint.serving(store),
        delivering as webhook,
    ):
        outbox = Outbox(
            store,
            name,
            webhook,
            attempts=attempts,
            concurrency=concurrency,
            **asdict(events),
        )
        await outbox.run(follow=not once)


def _webhook(session: Session, to: str | None) -> Webhook:
    """Return the webhook of a URL, or of the settings."""
    given = session.settings.outbox
    to = given.webhook_url if to is None else to
    if not to:
        raise InvalidInputError("webhook", "give its URL with --to, or in outbox.webhook_url")
    secret = given.webhook_secret or None
    output.hide_secrets((to,), (secret,) if secret else ())
    return Webhook(to, secret=secret)


async def letters(session: Session, name: Name) -> int:
    """List what an outbox has given up and not delivered since; status 1 if there is any."""
    async with session.open_store() as store:
        found = await read_dead_letters(store, name)
    nothing = f"outbox {name} has delivered everything that it has come to"
    session.output.listing(found, lambda letter: letter, COLUMNS, _row, nothing)
    return 1 if found else 0


def _row(letter: DeadLetter) -> tuple[str, ...]:
    reason = f"(to be tried again) {letter.reason}" if letter.retrying else letter.reason
    return str(letter.position), letter.stream, show_time(letter.failed_at), reason


@dataclass(frozen=True, slots=True)
class Letters:
    """Which letters of an outbox a command is for, and who decided it."""

    positions: Annotated[
        list[int] | None, typer.Argument(help="The positions of the events; or --all.")
    ] = None
    every: Annotated[bool, typer.Option("--all", help="All that it has given up.")] = False
    by: By = None


async def retry(session: Session, name: Name, which: Letters) -> None:
    """Have an outbox deliver again what it has given up: at once where it runs."""
    await _act_on_letters(session, name, which, request_retry, "to be delivered again by outbox")


async def drop(session: Session, name: Name, which: Letters) -> None:
    """Take what an outbox has given up off the list; a trim then keeps nothing for it."""
    said = "dropped from the list of outbox"
    await _act_on_letters(session, name, which, drop_dead_letters, said)


async def _act_on_letters(
    session: Session,
    name: str,
    which: Letters,
    act: Callable[..., Awaitable[Sequence[DeadLetter]]],
    said: str,
) -> None:
    """Do something with the letters that are named, and say with which."""
    if bool(which.positions) == which.every:
        raise InvalidInputError("positions", "name some of 'outbox letters', or give --all")
    async with session.open_store() as store:
        letters = await act(store, name, which.positions or None, by=user_name(which.by))
    session.output.value(
        {"name": name, "positions": [letter.position for letter in letters]},
        f"{len(letters)} {said} {name}",
    )
