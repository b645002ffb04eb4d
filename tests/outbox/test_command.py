"""``eventstore outbox``: run to the head, list what was given up, try it again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.commands import runner
from support.receivers import webhook

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.slow
def test_events_arrive_and_what_is_given_up_can_be_tried_again(tmp_path: Path) -> None:
    run = runner(tmp_path)
    with webhook() as hook:
        run("append", "order/1", "Placed", '{"total": 12}')
        run("append", "order/2", "Placed", '{"total": 13}')
        hook.answers.append((400, {}))
        once = ("outbox", "run", "billing", "--once", "--streams", "order/", "--to", hook.url)
        done = run(*once, EVENTSTORE_OUTBOX_WEBHOOK_SECRET="whsec_c2VjcmV0")
        assert (done.returncode, done.stderr) == (0, ""), done
        assert all("webhook-signature" in request.headers for request in hook.requests)

        listed = run("outbox", "letters", "billing", "--json")
        assert listed.returncode == 1
        (letter,) = map(json.loads, listed.stdout.splitlines())
        failed = hook.requests[0].data["position"]
        assert (letter["position"], letter["retrying"]) == (failed, False)
        assert "answered 400" in run("outbox", "letters", "billing").stdout
        assert "SECRET-PATH" not in listed.stdout

        refused = run("outbox", "retry", "billing")
        assert (refused.returncode, "or give --all" in refused.stderr) == (1, True)
        assert run("outbox", "retry", "billing", "--all").returncode == 0
        assert run(*once).returncode == 0
        posted = sorted(request.data["position"] for request in hook.requests)
        assert posted == sorted([1, 2, failed])
        empty = run("outbox", "letters", "billing")
        assert (empty.returncode, "delivered everything" in empty.stdout) == (0, True)
    without = run("outbox", "run", "billing", "--once")
    assert (without.returncode, "give its URL with --to" in without.stderr) == (1, True)
    wrong = run("outbox", "run", "billing", "--once", "--to", "https://u:SECRET@there.example/x",
                EVENTSTORE_OUTBOX_WEBHOOK_SECRET="SECRET")  # fmt: skip
    assert (wrong.returncode, "SECRET" in wrong.stderr) == (1, False), wrong
    missing = run("outbox", "letters", "another")
    assert (missing.returncode, "'another' is not known" in missing.stderr) == (1, True)
