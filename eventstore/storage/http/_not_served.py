"""What servers do not offer: each a typed refusal, which names the way that there is."""

from __future__ import annotations

from typing import Any, NoReturn

from eventstore.errors import NotServedError


def _refused(what: str) -> Any:
    """Return a method that raises NotServedError."""

    def refuse(self: NotServed, *_: object, **__: object) -> NoReturn:
        raise NotServedError(self.url, what)

    return refuse


class NotServed:
    """The part of a backend that a log behind a server has not."""

    def __init__(self, url: str) -> None:
        self.url = url

    integrity_page = kept_rows = faults = _refused("verification")
    query = _refused("queries of its database")
    look = look_briefly = look_in_loop = _refused("the tables of projections")
    build_view = swap_view = _refused("building projections")
    outline = streams = kept = hashes = stored = _refused("exports")
    load = _refused("imports")
    cut = check_held = now = _refused("trims")
    renew_incarnation = _refused("new incarnations")
    backup = open_copy = _refused("backups")
    restore = _refused("restores")
