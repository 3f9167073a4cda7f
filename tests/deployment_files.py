"""What the files in ``deploy/`` say, for tests: services, commands, settings."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.markdown_pages import ROOT

DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "compose.yaml"
DOCKERFILE = DEPLOY / "Dockerfile"
NGINX = DEPLOY / "nginx" / "windlass.conf"
CLAMD = DEPLOY / "clamav" / "clamd.conf"
KUBERNETES = DEPLOY / "kubernetes"
SYSTEMD = DEPLOY / "systemd"
SYSTEMD_COMMON = SYSTEMD / "windlass-.service.d" / "common.conf"

_VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")
#: Variables of compose.yaml: where they differ from settings, they are documented at its top.
COMPOSE_VARIABLES = {"PUBLISH", "ALLOWED_HOSTS", "WINDLASS_TAG", "GRAPH", "NEO4J_URL"}


def compose() -> dict[str, Any]:
    """compose.yaml with the defaults of its variables."""
    model: dict[str, Any] = yaml.safe_load(_VARIABLE.sub(lambda found: found[2], COMPOSE.read_text()))
    return model


def compose_variables() -> set[str]:
    return {found[1] for found in _VARIABLE.finditer(COMPOSE.read_text())}


def windlass_services() -> dict[str, dict[str, Any]]:
    """The services of compose.yaml that run a command of Windlass."""
    return {name: each for name, each in compose()["services"].items() if each.get("command", [""])[0] == "windlass"}


def kubernetes_files() -> list[Path]:
    return sorted(KUBERNETES.rglob("*.yaml"))


def kubernetes() -> Iterator[tuple[Path, dict[str, Any]]]:
    """Each manifest with its file."""
    for path in kubernetes_files():
        for manifest in yaml.safe_load_all(path.read_text()):
            yield path, manifest


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    """The pod specifications of Kubernetes by the name of what makes them."""
    for _, manifest in kubernetes():
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"]["name"], manifest["spec"]["template"]["spec"]


def systemd_lines(path: Path, key: str) -> list[str]:
    """The values of a key of a unit, in their order."""
    return re.findall(rf"^{key}=(.*)$", path.read_text(), re.MULTILINE)


def systemd_services() -> list[Path]:
    return sorted(SYSTEMD.glob("*.service"))


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every command of Windlass in these files: where it is, and its words."""
    for name, service in windlass_services().items():
        yield f"compose {name}", service["command"]
    for words in re.findall(r"^CMD (\[.*windlass.*\])$", DOCKERFILE.read_text(), re.MULTILINE):
        yield "Dockerfile", yaml.safe_load(words)
    for name, pod in pods():
        for container in pod["containers"]:
            yield f"kubernetes {name}", container["args"]
    for unit in systemd_services():
        for line in systemd_lines(unit, "ExecStart"):
            program, *words = shlex.split(line)
            yield unit.name, [Path(program).name, *words]


def settings() -> Iterator[tuple[str, str, str]]:
    """Every environment variable that a process of Windlass gets from these files: where, name, value."""
    for name, service in windlass_services().items():
        for variable, value in service["environment"].items():
            yield f"compose {name}", variable, value
    _, _, image = DOCKERFILE.read_text().partition("AS runtime\n")
    for name, value in re.findall(r"^(?:ENV| {4}) ?([A-Z_]+)=(\S+)", image, re.MULTILINE):
        yield "Dockerfile", name, value
    for path, manifest in kubernetes():
        if manifest["kind"] == "ConfigMap":
            for variable, value in manifest["data"].items():
                yield path.name, variable, value
    for line in systemd_lines(SYSTEMD_COMMON, "Environment"):
        name, _, value = line.partition("=")
        yield SYSTEMD_COMMON.name, name, value
    for name, value in re.findall(r"^([A-Z_]+)=(.*)$", (SYSTEMD / "windlass.env").read_text(), re.MULTILINE):
        yield "windlass.env", name, value


def nginx_directives(text: str) -> list[str]:
    """The directives of a configuration without comments, each with its arguments."""
    plain = re.sub(r"#.*", "", text)
    return [" ".join(found.split()) for found in re.findall(r"[^;{}]+[;{]|\}", plain) if found.strip()]
