"""Each file in ``deploy/`` passes the validator of its own tool, and the sandbox works under the filters of Docker and
systemd."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator

from tests import deployment_files as deployment
from tests import seccomp_filter, services
from tests.conftest import require
from tests.markdown_pages import ROOT
from tests.services import find_binary

SCRIPTS = Path(sys.executable).parent
#: Exposure in tenths, from 0 to 100, that ``systemd-analyze security`` may find: below 2.5 is "OK".
EXPOSURE = 25


def run(*command: str | Path, cwd: Path = ROOT, **environment: str) -> str:
    ended = subprocess.run(
        command, cwd=cwd, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def compose() -> str:
    return require(services.find_compose(), "compose-go is not built and go is not on PATH")


@pytest.mark.slow
@pytest.mark.parametrize(
    "files", [["compose.yaml"], ["deploy/compose.yaml", "deploy/compose.dragonfly.yaml"]], ids=lambda files: files[-1]
)
def test_the_compose_file_conforms_to_the_specification(compose: str, files: Sequence[str]) -> None:
    model = json.loads(run(compose, *files))
    assert model["services"].keys() == deployment.compose()["services"].keys()


@pytest.mark.slow
def test_the_compose_file_reads_its_variables(compose: str) -> None:
    given = {"PUBLISH": "0.0.0.0:80", "ALLOWED_HOSTS": "files.example.org,127.0.0.1", "WINDLASS_TAG": "1.2.3"}
    served = json.loads(run(compose, "deploy/compose.yaml", **given))["services"]
    assert served["nginx"]["ports"] == [
        {"mode": "ingress", "host_ip": "0.0.0.0", "published": "80", "target": 8080, "protocol": "tcp"}
    ]
    assert served["web"]["image"] == "windlass:1.2.3"
    assert served["web"]["environment"]["ALLOWED_HOSTS"] == "files.example.org,127.0.0.1"
    graph = {"GRAPH": "rules", "NEO4J_URL": "bolt://neo4j:7687"}
    served = json.loads(run(compose, "deploy/compose.yaml", **graph))["services"]
    assert served["scheduler"]["environment"].items() >= graph.items()
    assert served["neo4j"]["profiles"] == ["graph"]


def test_the_secrets_of_the_compose_file_are_made_once(tmp_path: Path) -> None:
    script = tmp_path / "new-secrets.sh"
    shutil.copy(deployment.DEPLOY / script.name, script)
    run(script)
    made = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    assert made.keys() == deployment.compose()["secrets"].keys()
    assert len(made["secret_key"]) == 64
    assert made["postgres_password"] in made["database_url"]
    assert made["neo4j_auth"] == f"neo4j/{made['neo4j_password']}"
    run(script)
    assert {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()} == made
    assert stat.S_IMODE((tmp_path / "secrets").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "secrets").iterdir()} == {0o644}


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    program = require(find_binary("hadolint", SCRIPTS), "hadolint is not installed")
    assert run(program, "--no-color", deployment.DOCKERFILE) == ""


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.30", "1.37"])
def test_manifests_are_valid_in_versions_of_kubernetes(version: str) -> None:
    program = require(find_binary("kubernetes-validate", SCRIPTS), "kubernetes-validate is not installed")
    foreign = ("Kustomization", "ScaledObject")  # no resources of Kubernetes itself
    paths = {path for path, manifest in deployment.kubernetes() if manifest["kind"] not in foreign}
    run(program, "--strict", "-k", version, *sorted(paths))


@pytest.mark.slow
def test_kustomize_builds_what_the_kustomizations_list() -> None:
    program = require(services.find_kustomize(), "kustomize is not built and go is not on PATH")
    built, listed = set(), set()
    for path, kustomization in deployment.kubernetes():
        if kustomization["kind"] == "Kustomization":
            manifests = [*yaml.safe_load_all(run(program, path.parent))]
            names = {(each["kind"], each["metadata"]["name"]) for each in manifests}
            built |= names
            namespaces = {each["metadata"].get("namespace") for each in manifests if each["kind"] != "Namespace"}
            assert namespaces == {kustomization["namespace"]}
            images = kustomization.get("images", [])
            tagged = [f"{image['newName']}:{image['newTag']}" for image in images]
            pods = [each["spec"]["template"]["spec"] for each in manifests if "template" in each.get("spec", {})]
            assert {one["image"] for pod in pods for one in pod["containers"]} == set(tagged)
        else:
            listed.add((kustomization["kind"], kustomization["metadata"]["name"]))
    assert built == listed


@pytest.mark.slow
def test_the_scaled_object_conforms_to_the_schema_of_keda() -> None:
    path = require(services.find_keda_schema(), "go, which gets KEDA's schema, is not on PATH")
    (version,) = (each for each in yaml.safe_load(path.read_text())["spec"]["versions"] if each["name"] == "v1alpha1")
    validator = Draft202012Validator(without_other_fields(version["schema"]["openAPIV3Schema"]))
    (manifest,) = (each for _, each in deployment.kubernetes() if each["kind"] == "ScaledObject")
    assert [error.message for error in validator.iter_errors(manifest)] == []
    manifest["spec"]["minimumReplicaCount"] = manifest["spec"].pop("minReplicaCount")
    manifest["spec"]["pollingInterval"] = "15"
    assert len([*validator.iter_errors(manifest)]) == 2


def without_other_fields(schema: Any) -> Any:
    """The schema, which then refuses a field that it does not name: Kubernetes would drop it with a warning."""
    if isinstance(schema, list):
        return [without_other_fields(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: without_other_fields(value) for key, value in schema.items()}
    if isinstance(made.get("properties"), dict) and not made.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def test_nginx_accepts_its_configuration(tmp_path: Path) -> None:
    program = require(services.find_nginx(), "nginx is not installed")
    main = tmp_path / "nginx.conf"
    head = services.NGINX_CONFIGURATION.partition("server {{")[0].format(directory=tmp_path)
    main.write_text(f"{head} include {deployment.NGINX}; }}")
    assert "test is successful" in run(program, "-t", "-e", "stderr", "-c", main, cwd=tmp_path)


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """The units as they would be installed, with this checkout's program and an instance of each template."""
    directory = tmp_path / "units"
    shutil.copytree(deployment.SYSTEMD, directory)
    for unit in directory.glob("*.service"):
        unit.write_text(unit.read_text().replace("/opt/windlass/bin/windlass", str(SCRIPTS / "windlass")))
        if "@" in unit.name:
            shutil.copy(unit, unit.with_name(unit.name.replace("@", "@8000")))
    return directory


def unit_names(units: Path) -> list[str]:
    return sorted(
        path.name for path in units.iterdir() if path.suffix in (".service", ".target") and "@." not in path.name
    )


def test_systemd_accepts_the_units(units: Path) -> None:
    program = require(find_binary("systemd-analyze"), "systemd-analyze is not installed")
    path = {"SYSTEMD_UNIT_PATH": f"{units}:"}
    assert run(program, "verify", "--man=no", "--recursive-errors=no", *unit_names(units), cwd=units, **path) == ""
    for name in unit_names(units):
        if name.endswith(".service"):
            run(program, "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE}", name, cwd=units, **path)


def sandbox_level(rules: list[seccomp_filter.Rule], directory: Path) -> str:
    """What `windlass doctor` says of the sandbox under a filter."""
    require(seccomp_filter.library(), "libseccomp's library is not installed")
    file = directory / "rules.json"
    file.write_text(json.dumps(rules))
    asked = "from windlass.processing.sandbox.capability_level import measure; print(measure('best-effort'))"
    return run(sys.executable, "-m", "tests.seccomp_filter", file, sys.executable, "-c", asked).strip()


def without(rules: list[seccomp_filter.Rule], *prefixes: str) -> list[seccomp_filter.Rule]:
    return [rule | {"names": [name for name in rule["names"] if not name.startswith(prefixes)]} for rule in rules]


@pytest.mark.slow
def test_the_sandbox_is_complete_under_dockers_default_profile(tmp_path: Path) -> None:
    profile = require(services.find_docker_profile(), "go, which gets Docker's profile, is not on PATH")
    rules = seccomp_filter.docker_default(profile)
    assert sandbox_level(rules, tmp_path).startswith("full: ")
    assert sandbox_level(without(rules, "landlock_"), tmp_path) == "partial: seccomp, limits", "Docker before 23.0"


@pytest.mark.slow
def test_the_sandbox_is_complete_under_the_units(tmp_path: Path) -> None:
    require(find_binary("systemd-analyze"), "systemd-analyze is not installed")
    filters = deployment.systemd_lines(deployment.SYSTEMD_COMMON, "SystemCallFilter")
    assert sandbox_level(seccomp_filter.systemd_unit(filters), tmp_path).startswith("full: ")
