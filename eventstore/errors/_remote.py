"""Errors of a log that is reached through a server."""

from __future__ import annotations

from eventstore.errors._root import EventStoreError
from eventstore.errors._storage import StorageError


class AccessDeniedError(EventStoreError):
    """A server refuses the token: it is unknown, revoked, expired (401), or not for this (403).

    ``where`` is the server, ``status`` its answer's, ``reason`` the server's own words. Asking
    again does not help: create another token, by 'eventstore tokens create'.
    """

    def __init__(self, where: str, status: int, reason: str) -> None:
        super().__init__(f"{where} refuses access ({status}): {reason}")
        self.where, self.status, self.reason = where, status, reason


class NotServedError(EventStoreError):
    """A store by URL was asked for what servers do not offer; nothing was done.

    ``what`` names it, ``where`` is the server. It is done where the log is.
    """

    def __init__(self, where: str, what: str) -> None:
        super().__init__(
            f"{where} does not offer {what}: open the log by the URL of its database for that"
        )
        self.where, self.what = where, what


class WrongPageError(StorageError):
    """A server answered with a page that is not what the log holds; none of its events is given.

    It leaves out, repeats or reorders events, is of another place or another log, or does not
    continue the hash chain. ``where`` is the server, ``position`` the event at which it shows.
    Asking again does not help: run 'eventstore verify' where the log is, and look at what lies
    between.
    """

    def __init__(self, where: str, position: int, what: str) -> None:
        super().__init__(
            where,
            f"answered with a wrong page: at position {position} {what}; 'eventstore verify' "
            "where the log is says whether the log or what lies between has changed it",
        )
        self.position = position
