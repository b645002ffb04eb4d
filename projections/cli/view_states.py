"""How each version of a view is said to people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eventstore.system.time_text import show_age

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

COLUMNS = ("view", "version", "state", "position", "behind", "size", "notes")
BYTE_UNITS = (("GB", 10**9), ("MB", 10**6), ("kB", 10**3))


def row_of(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Return a line of the table for people."""
    if "version" not in values:
        where = f"in {values['place']}: {_trouble(values)}"
        return values["name"], "-", values["state"], "-", "-", "-", where
    return (
        values["name"],
        str(values["version"]),
        values["state"],
        str(values["position"]),
        str(values["lag"]) if values["lag"] else "-",
        _size(values),
        "; ".join(remarks(values)),
    )


def remarks(values: Mapping[str, Any]) -> Iterator[str]:
    """Say what is notable of a version."""
    if values["kept"] is not None:
        yield values["kept"]
    if values["place"] is not None:
        yield f"in {values['place']}"
        yield f"told {show_age(values['told_seconds_ago'])} ago by {values['owner']}"
    if values["seconds_left"] is not None:
        done = 100 * values["position"] // (values["position"] + values["lag"])
        yield f"{done} %, {show_age(values['seconds_left'])} left"
    if values["trouble"] is not None:
        yield _trouble(values)
    if values["failed_at"] is not None:
        yield f"cannot apply {values['failed_at']}: {values['failure']}"
    if count := values["set_aside_count"]:
        first = values["set_aside"][0]
        yield f"{count} set aside, first {first['position']}: {first['reason']}"


def _trouble(values: Mapping[str, Any]) -> str:
    return f"fails and is tried again by {values['owner']}: {values['trouble']}"


def _size(values: Mapping[str, Any]) -> str:
    if values["rows"] is None:
        return "-" if values["bytes"] is None else show_bytes(values["bytes"])
    rows = f"{values['rows']} row{'' if values['rows'] == 1 else 's'}"
    if values["more_rows"]:
        rows = f"over {rows}"
    return rows if values["bytes"] is None else f"{rows}, {show_bytes(values['bytes'])}"


def show_bytes(size: int) -> str:
    """Return a size for people, in the largest unit of which it has two: ``90 MB``."""
    for unit, one in BYTE_UNITS:
        if size >= 2 * one:
            return f"{size // one} {unit}"
    return f"{size} bytes"
