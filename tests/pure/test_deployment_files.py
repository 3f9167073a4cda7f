"""The files in ``deploy/`` agree with the code, with each other and with the pages that describe them."""

from __future__ import annotations

import re
import subprocess
from dataclasses import fields
from typing import Any

import pytest
import typer.main

from tests import deployment_files as deployment
from tests.markdown_pages import DOCS, fences
from windlass.cli import app
from windlass.conf import Settings
from windlass.conf.reader import read

HOW_TO = DOCS / "how-to"
PAGES = [HOW_TO / f"run-{name}.md" for name in ("with-docker-compose", "on-kubernetes", "under-systemd")]
SETTINGS = {field.name.upper() for field in fields(Settings)}
SERVICES = deployment.compose()["services"]
#: Settings that the files read from secrets, and values that they may have.
SECRETS = {
    "SECRET_KEY_FILE": "one-that-nobody-can-guess-0123456789",
    "METRICS_TOKEN_FILE": "a-token",
    "DATABASE_URL_FILE": "postgres://windlass:secret@postgres/windlass",
    "CELERY_BROKER_URL_FILE": "redis://:secret@redis/0",
    "AWS_SECRET_ACCESS_KEY_FILE": "a-secret",
    "NEO4J_PASSWORD_FILE": "a-secret",
}


@pytest.mark.parametrize(("where", "words"), list(deployment.commands()), ids=lambda value: str(value))
def test_every_command_exists(where: str, words: list[str]) -> None:
    program, *rest = words
    assert program == "windlass"
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands"):
        command, *rest = command.commands[rest[0]], *rest[1:]
    options = {name for parameter in command.params for name in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options


@pytest.mark.parametrize("where", sorted({where for where, _, _ in deployment.settings()}))
def test_every_environment_variable_is_a_setting_with_a_valid_value(where: str) -> None:
    given = {name: value for place, name, value in deployment.settings() if place == where}
    assert [name for name in given if name.removesuffix("_FILE") not in SETTINGS] == []
    files = {name for name in given if name.endswith("_FILE")}
    assert all(given[name].startswith(("/run/secrets/", "%d/")) for name in files)
    plain = {name: value for name, value in given.items() if name not in files}
    read(Settings, {}, plain | {name.removesuffix("_FILE"): SECRETS[name] for name in files})


def test_the_variables_of_the_compose_file_are_documented_in_it() -> None:
    head = deployment.COMPOSE.read_text().partition("name: windlass")[0]
    assert deployment.compose_variables() == deployment.COMPOSE_VARIABLES
    assert set(re.findall(r"^#   ([A-Z0-9_]+) ", head, re.MULTILINE)) == deployment.COMPOSE_VARIABLES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_pages_name_settings_that_exist(page: Any) -> None:
    known = SETTINGS | {f"{name}_FILE" for name in SETTINGS} | deployment.COMPOSE_VARIABLES
    named = re.findall(r"`([A-Z0-9]+_[A-Z0-9_]+)(?:`|[:=])|^([A-Z0-9_]+)=", page.read_text(), re.MULTILINE)
    no_settings = {"WINDLASS_WEB_PORT", "COMPOSE_PROFILES"}  # that the page says so of, and of Compose itself
    assert named
    assert {one or other for one, other in named} - no_settings <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_pages_name_files_that_exist(page: Any) -> None:
    named = set(re.findall(r"\bdeploy/[\w./@-]*[\w/]", page.read_text()))
    made = ("deploy/secrets", "deploy/compose.override.yaml")  # by new-secrets.sh, and by the reader
    assert named
    assert [name for name in named if not (deployment.ROOT / name).exists() and not name.startswith(made)] == []


def test_nginx_has_the_server_block_of_the_documentation() -> None:
    (block,) = (fence.text for fence in fences(HOW_TO / "put-nginx-in-front.md") if fence.language == "nginx")
    own = ("listen ", "server_name ", "resolver ", "set $windlass ", "proxy_pass ")

    def shared(text: str) -> list[str]:
        return [line for line in deployment.nginx_directives(text) if not line.startswith(own)]

    assert shared(deployment.NGINX.read_text()) == shared(block)


def test_the_scanner_has_the_limits_of_the_settings() -> None:
    limits = re.findall(r"^(?:StreamMaxLength|MaxFileSize|MaxScanSize) (\d+)M$", deployment.CLAMD.read_text(), re.M)
    for service in deployment.windlass_services().values():
        assert int(service["environment"]["CLAMAV_MAX_SIZE_MB"]) == min(map(int, limits))


@pytest.mark.parametrize(("name", "service"), SERVICES.items(), ids=lambda each: each if isinstance(each, str) else "")
def test_containers_of_the_compose_file_are_restricted(name: str, service: dict[str, Any]) -> None:
    if name == "app":  # the tests, which write into the checkout and serve nobody
        return
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"]
    allowed = {"objects": ["CHOWN"]}
    assert service.get("cap_add", []) == allowed.get(name, [])


def test_long_running_services_are_restarted_and_drain() -> None:
    for name in ("web", "worker", "scheduler"):
        service = SERVICES[name]
        assert service["restart"] == "unless-stopped"
        assert service["stop_grace_period"] == "35s"
    for name, pod in deployment.pods():
        assert pod["terminationGracePeriodSeconds"] >= 35, name
    for unit in deployment.systemd_services():
        if unit.name != "windlass-migrate.service":
            assert deployment.systemd_lines(unit, "TimeoutStopSec") == ["35"]
            assert deployment.systemd_lines(unit, "Restart") == ["always"]


def test_services_wait_for_services_that_exist_and_can_be_healthy() -> None:
    for name, service in SERVICES.items():
        for wanted, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                in_image = SERVICES[wanted].get("image", "").startswith("windlass")
                assert in_image or "test" in SERVICES[wanted]["healthcheck"], f"{name} waits for {wanted}"


@pytest.mark.parametrize(
    ("name", "pod"), list(deployment.pods()), ids=lambda each: each if isinstance(each, str) else ""
)
def test_pods_are_restricted_and_get_no_variables_of_services(name: str, pod: dict[str, Any]) -> None:
    assert pod["enableServiceLinks"] is False  # WINDLASS_WEB_PORT and the like would be unknown settings
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in pod["containers"]:
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert container["securityContext"]["allowPrivilegeEscalation"] is False
        assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["requests"].keys() == {"cpu", "memory"}
        assert "memory" in container["resources"]["limits"]


def test_the_image_compiles_nothing_that_pip_has_compiled() -> None:
    """It cannot be built otherwise: compileall ends with an error, as olefile has a module in Python 2."""
    assert "compileall" not in deployment.DOCKERFILE.read_text()


def test_the_context_of_the_image_has_what_its_tests_read() -> None:
    lines = (deployment.ROOT / ".dockerignore").read_text().splitlines()
    let_in = {line.removeprefix("!") for line in lines if line.startswith("!")}
    listed = subprocess.run(["git", "ls-files"], cwd=deployment.ROOT, capture_output=True, text=True, check=True)
    assert {path.partition("/")[0] for path in listed.stdout.splitlines()} <= let_in
    assert ".git" in let_in, "some tests read the history, or what is tracked"


def test_the_kustomizations_list_every_manifest() -> None:
    for path, manifest in deployment.kubernetes():
        if manifest["kind"] == "Kustomization":
            beside = {each.name for each in path.parent.glob("*.yaml")} - {path.name}
            assert set(manifest["resources"]) == beside


def test_selectors_and_targets_of_manifests_meet() -> None:
    manifests = [manifest for _, manifest in deployment.kubernetes()]
    deployments = {each["metadata"]["name"]: each for each in manifests if each["kind"] == "Deployment"}
    labels = [each["spec"]["template"]["metadata"]["labels"] for each in deployments.values()]
    for each in manifests:
        spec = each.get("spec", {})
        match each["kind"]:
            case "Service":
                assert spec["selector"] in labels
            case "PodDisruptionBudget" | "Deployment":
                assert spec["selector"]["matchLabels"] in labels
            case "HorizontalPodAutoscaler" | "ScaledObject":
                assert spec["scaleTargetRef"]["name"] in deployments


def test_the_autoscaler_of_workers_asks_for_a_metric_that_exists() -> None:
    (scaled,) = (each for _, each in deployment.kubernetes() if each["kind"] == "ScaledObject")
    assert scaled["apiVersion"] == "keda.sh/v1alpha1"
    (trigger,) = scaled["spec"]["triggers"]
    assert trigger["type"] == "prometheus"
    assert trigger["metadata"].keys() >= {"serverAddress", "query", "threshold"}
    assert all(isinstance(value, str) for value in trigger["metadata"].values())
    (metric,) = re.findall(r"windlass_\w+", trigger["metadata"]["query"])
    assert f"`{metric}{{" in (HOW_TO / "watch-with-prometheus.md").read_text()
    assert 0 < scaled["spec"]["minReplicaCount"] < scaled["spec"]["maxReplicaCount"]
