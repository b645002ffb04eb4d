"""Texts of Sigma rules."""

from __future__ import annotations


def detection(title: str = "T", more: str = "", event: int = 1) -> str:
    """Return a detection; ``more`` are further lines at its top."""
    return (
        f"title: {title}\n{more}logsource: {{product: windows}}\n"
        f"detection: {{s: {{EventID: {event}}}, condition: s}}\n"
    )


def correlation(title: str = "C", more: str = "", rules: str = "[a]") -> str:
    """Return a correlation of these rules, written as YAML."""
    return (
        f"title: {title}\n{more}correlation: {{type: event_count, rules: {rules}, "
        "timespan: 5m, condition: {gte: 10}}\n"
    )


def sigma_file(*documents: str) -> str:
    """Return a file of several documents."""
    return "---\n".join(documents)
