"""The example of a whole service: its own tests, and its routes over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.network import HOST, free_port
from support.receivers import webhook
from support.waiting import wait_until

EXAMPLE = Path(__file__).parents[2] / "examples" / "feature_flags"


@pytest.mark.slow
def test_its_own_tests_pass(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp",
         str(tmp_path / "temp"), "--event-store", "sqlite"],
        check=False,
        cwd=EXAMPLE,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.slow
def test_its_routes_answer_and_its_webhook_hears(tmp_path: Path) -> None:
    port = free_port()
    with webhook() as hook:
        process = subprocess.Popen(
            [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)],
            cwd=EXAMPLE,
            env={
                **os.environ,
                "PYTHONDONTWRITEBYTECODE": "1",
                "FLAGS_URL": f"sqlite:///{tmp_path}/flags.db",
                "FLAGS_WEBHOOK": hook.url,
            },
            stderr=subprocess.DEVNULL,
        )
        try:
            with httpx.Client(base_url=f"http://{HOST}:{port}", timeout=60.0) as client:

                def answers() -> bool:
                    assert process.poll() is None
                    try:
                        return client.get("/flags").is_success
                    except httpx.ConnectError:
                        return False

                wait_until(answers)
                body = {"percent": 100, "by": "ana", "why": "first users"}
                assert client.put("/flags/dark", json=body).json() == {"changed": True}
                assert client.put("/flags/dark", json={**body, "percent": 101}).status_code == 400
                assert client.put("/flags/dark", content=b"{").status_code == 400
                assert client.get("/flags/dark/for/me").json() == {"on": True}
                (change,) = client.get("/audit", params={"words": "First ana"}).json()
                assert change["what"] == "set to 100 %"
                wait_until(lambda: hook.requests)
        finally:
            process.terminate()
            process.wait(timeout=60)
    assert hook.requests[0].data["data"] == {"percent": 100, "by": "ana", "why": "first users"}
