"""Units of systemd and manifests of Kubernetes, checked by the programs and schemas of both."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from support.commands import REPOSITORY
from support.in_process import in_process

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.slow

UNITS = sorted((REPOSITORY / "config" / "systemd").glob("*.service"))
MANIFESTS = sorted((REPOSITORY / "config" / "kubernetes").glob("*.yaml"))
PROGRAM = "/opt/ruletide/bin/eventstore"
RELEASE = "1.34"


def analyze(*words: str | Path) -> subprocess.CompletedProcess[str]:
    program = shutil.which("systemd-analyze")
    if program is None:
        pytest.skip("systemd-analyze is not installed")
    return subprocess.run([program, *words], capture_output=True, text=True, check=False)


@pytest.fixture
def units(tmp_path: Path) -> list[Path]:
    """The units with a program that is there, and a name in place of a template's."""
    found = []
    for unit in UNITS:
        copy = tmp_path / unit.name.replace("@", "@edge-1")
        copy.write_text(unit.read_text().replace(PROGRAM, "/bin/true"))
        found.append(copy)
    return found


def test_systemd_takes_the_units_as_they_are(units: list[Path]) -> None:
    done = analyze("verify", *units)
    assert (done.returncode, done.stderr) == (0, "")
    units[0].write_text(units[0].read_text().replace("ProtectSystem=", "ProtectSystems="))
    assert "ProtectSystems" in analyze("verify", *units).stderr


def test_the_units_give_a_program_few_rights(units: list[Path]) -> None:
    for unit in units:
        done = analyze("security", "--offline=yes", "--threshold=15", unit)
        assert done.returncode == 0, done.stdout[-500:] + done.stderr


def test_a_unit_starts_a_command_that_there_is(tmp_path: Path) -> None:
    run = in_process(tmp_path, COLUMNS="200")
    for unit in UNITS:
        (line,) = re.findall(rf"^ExecStart={PROGRAM} (.*)$", unit.read_text(), re.MULTILINE)
        name, *words = line.split()
        done = run(name, "--help")
        assert done.returncode == 0, done
        assert {word for word in words if word.startswith("--")} <= set(done.stdout.split())


def manifests() -> list[dict[str, Any]]:
    return [one for file in MANIFESTS for one in yaml.safe_load_all(file.read_text())]


def test_the_manifests_are_what_kubernetes_takes() -> None:
    schemas = pytest.importorskip("kubernetes_validate", reason="pip install --group schemas")
    assert len(manifests()) >= 8
    for manifest in manifests():
        schemas.validate(manifest, RELEASE, strict=True)
    wrong = manifests()[0]
    wrong["spec"]["template"]["spec"]["containers"][0]["imagee"] = "x"
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, RELEASE, strict=True)


def test_a_container_has_few_rights_limits_and_no_secret_of_its_own() -> None:
    for manifest in manifests():
        pod = manifest["spec"].get("template", {}).get("spec")
        if pod is None:
            continue
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["readOnlyRootFilesystem"]
            assert not rights["allowPrivilegeEscalation"]
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert {"memory"} <= set(container["resources"]["limits"])
            for variable in container.get("env", ()):
                assert "valueFrom" in variable
    kinds = {one["metadata"]["name"]: one for one in manifests() if one["kind"] == "Deployment"}
    (serve,) = kinds["gateway"]["spec"]["template"]["spec"]["containers"]
    assert serve["livenessProbe"]["httpGet"]["path"] == "/healthz"
    assert serve["readinessProbe"]["httpGet"]["path"] == "/readyz"
