"""The software bill of materials lists an installation, and the audit reads the reports of npm."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.markdown_pages import ROOT

#: Reports as npm 10 writes them, shortened.
VULNERABLE = {
    "auditReportVersion": 2,
    "vulnerabilities": {
        "esbuild": {
            "name": "esbuild",
            "severity": "moderate",
            "via": [{"title": "any site may read", "url": "https://github.com/advisories/GHSA-67mh-4wv8-2f99"}],
            "range": "<=0.24.2",
            "fixAvailable": True,
        },
        "vite": {"name": "vite", "severity": "high", "via": ["esbuild"], "range": "<=6.1.6", "fixAvailable": False},
    },
}


def script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def bom(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    target = tmp_path_factory.mktemp("sbom") / "build" / "sbom.cdx.json"
    subprocess.run([sys.executable, ROOT / ".ci" / "sbom.py", target], check=True, timeout=60)
    document: dict[str, Any] = json.loads(target.read_text())
    return document


def test_the_bill_of_materials_is_of_this_version(bom: dict[str, Any]) -> None:
    about = bom["metadata"]["component"]
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert (about["name"], about["type"]) == ("windlass", "application")
    assert about["licenses"] == [{"license": {"id": "Apache-2.0"}}]


def test_it_lists_what_the_project_requires_in_pinned_versions_and_no_tools(bom: dict[str, Any]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    listed = {each["name"]: each["version"] for each in bom["components"]}
    runtime = [
        *project["dependencies"],
        *(line for name in extras if name not in ("dev", "bench") for line in extras[name]),
    ]
    for line in runtime:
        assert re.match(r"[\w.-]+", line)[0].lower().replace(".", "-") in listed, line  # type: ignore[index]
    pinned = {
        tuple(line.partition(" ;")[0].split("==")) for line in (ROOT / "constraints.txt").read_text().splitlines()
    }
    assert [each for each in listed.items() if each not in pinned] == []
    assert not {"pytest", "mypy", "ruff", "matplotlib", "pip-audit"} & set(listed)


def test_every_dependency_refers_to_a_package_of_the_bill(bom: dict[str, Any]) -> None:
    known = {bom["metadata"]["component"]["bom-ref"], *(each["bom-ref"] for each in bom["components"])}
    named = {each["ref"]: set(each.get("dependsOn", [])) for each in bom["dependencies"]}
    assert set(named) == known
    assert set().union(*named.values()) <= known
    assert all(each["purl"].startswith("pkg:pypi/") for each in bom["components"])
    needed, waiting = set(), [bom["metadata"]["component"]["bom-ref"]]
    while waiting:
        if (one := waiting.pop()) not in needed:
            needed.add(one)
            waiting += named[one]
    assert needed == known, "nothing is listed that nothing needs"


def test_vulnerable_npm_packages_are_named_with_their_cause() -> None:
    assert script("audit").npm_vulnerabilities(json.dumps(VULNERABLE)) == [
        "esbuild <=0.24.2: moderate, by https://github.com/advisories/GHSA-67mh-4wv8-2f99, can be fixed",
        "vite <=6.1.6: high, by esbuild, no fix",
    ]
    assert script("audit").npm_vulnerabilities('{"auditReportVersion": 2, "vulnerabilities": {}}') == []


@pytest.mark.parametrize(
    "report", ["", "npm: not found", '{"message": "405 Method Not Allowed", "statusCode": 405}', "[]"]
)
def test_an_advisory_service_that_does_not_answer_is_no_finding(report: str) -> None:
    assert script("audit").npm_vulnerabilities(report) is None


def test_every_lock_file_is_audited() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "*package-lock.json"], cwd=ROOT, capture_output=True, text=True, check=True, timeout=30
    )
    directories = {str(Path(name).parent) for name in listed.stdout.split()}
    assert directories == set(script("audit").NPM_DIRECTORIES)
