"""config/ has a dashboard and alerts of the metrics that the product shows: all of them, no other.

What is compared are the names in PromQL expressions. ``promtool`` checks the rules where it is
installed.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.commands import REPOSITORY

from metrics.test_documents import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from eventstore.metrics.model import Metric

ALERTS = REPOSITORY / "config/prometheus/alerts.yml"
DASHBOARD = REPOSITORY / "config/grafana/eventstore.json"

FOREIGN = {"up", "process_resident_memory_bytes", "process_cpu_seconds_total"}
"""Metrics of Prometheus itself, and of its library."""
WORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "bool", "offset"}
NOT_METRICS = re.compile(r'"[^"]*"|\{[^}]*\}|\[[^\]]*\]|\b(?:by|without|on|ignoring) *\([^)]*\)')
NAME = re.compile(r"(?<![\w.])[A-Za-z_:][\w:]*(?![\w(]| *\()")


@pytest.fixture
def anyio_backend() -> str:
    """Files are the same on both event loops."""
    return "asyncio"


def names(expression: str) -> set[str]:
    """Return the metrics of a PromQL expression."""
    assert expression.count("(") == expression.count(")"), expression
    return set(NAME.findall(NOT_METRICS.sub(" ", expression))) - WORDS


def alerts() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> Iterator[str]:
    for alert in alerts():
        yield alert["expr"]
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        for target in panel["targets"]:
            yield target["expr"]


def series(metric: Metric) -> set[str]:
    """Return the names under which a metric's numbers are asked for."""
    if metric.kind == "histogram":
        return {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return {metric.name}


@pytest.mark.anyio
async def test_dashboard_and_alerts_ask_for_every_metric_and_for_no_other() -> None:
    asked = set().union(*map(names, expressions())) - FOREIGN
    every = await shown()
    assert asked - set().union(*map(series, every)) == set()
    assert [one.name for one in every if not series(one) & asked] == []


def test_names_in_expressions_are_found() -> None:
    said = 'max by (a_b) (x_y{c="d_e"}) > 1e9 and rate(f_bucket[5m]) or predict(g, 9) == h:i'
    assert names(said) == {"x_y", "f_bucket", "g", "h:i"}


def test_each_alert_says_what_is_wrong_and_what_to_do_and_is_documented() -> None:
    text = (REPOSITORY / "docs/observing.md").read_text()
    found = [alert["alert"] for alert in alerts()]
    assert len(set(found)) == len(found) > 10
    assert re.findall(r"^\| `(Eventstore\w+)` \|", text, re.MULTILINE) == found
    for alert in alerts():
        assert set(alert["annotations"]) == {"summary", "action"}
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_the_dashboards_panels_have_their_own_places() -> None:
    panels = json.loads(DASHBOARD.read_text())["panels"]
    places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in panels}
    ids = {panel["id"] for panel in panels}
    assert len(places) == len(ids) == len(panels)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_accepts_the_rules() -> None:
    done = subprocess.run(
        ["promtool", "check", "rules", str(ALERTS)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
