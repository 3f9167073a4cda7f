"""Fail on a known vulnerability in constraints.txt or in a package-lock.json of the repository.

If an advisory service cannot be reached or does not know a package, that is reported but is no failure: the change
under test did not cause it, and the next run asks again.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
#: Directories with a package-lock.json: what tests and benchmarks run in Node. Windlass itself has no npm packages.
NPM_DIRECTORIES = ("tests/interop", "tests/browser", "benchmarks/peers/tus_node_server")


def look_up_packages() -> list[dict[str, Any]]:
    """Return pip-audit's result for each pinned package, or nothing if the service did not answer at all."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt"), "--no-deps"]
        command += ["--disable-pip", "--progress-spinner", "off", "--format", "json", "--output", str(report)]
        # The exit code is 1 for a finding and for a failure alike; a report is written only when the service answered.
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return json.loads(report.read_text())["dependencies"] if report.exists() else []


def audit_python() -> int:
    """Print the known vulnerabilities of the pinned Python packages and return their number."""
    packages = look_up_packages()
    checked = [package for package in packages if "skip_reason" not in package]
    found = [(package, vulnerability) for package in checked for vulnerability in package["vulns"]]
    for package, vulnerability in found:
        fixed = ", ".join(vulnerability["fix_versions"]) or "no release"
        print(f"audit: {package['name']} {package['version']}: {vulnerability['id']}, fixed in {fixed}")
    print(f"audit: {len(checked)} of {len(packages)} pinned packages looked up, {len(found)} known vulnerabilities")
    if len(checked) < len(packages) or not packages:
        print(
            "audit: the advisory service did not answer for the other packages; they were not checked", file=sys.stderr
        )
    return len(found)


def npm_report(directory: Path) -> str:
    """Return what ``npm audit`` says of a package-lock.json: a report or an error, both JSON."""
    command = ["npm", "audit", "--json", "--package-lock-only", "--fetch-retries=0", "--fetch-timeout=30000"]
    try:
        return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False, timeout=120).stdout
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return ""


def npm_vulnerabilities(report: str) -> list[str] | None:
    """Return a line for each vulnerable package of a report of npm (version 2), or None if it is not a report."""
    try:
        document = json.loads(report)
    except ValueError:
        return None
    if not isinstance(document, dict) or "vulnerabilities" not in document:
        return None
    return [_describe(name, found) for name, found in sorted(document["vulnerabilities"].items())]


def _describe(name: str, found: dict[str, Any]) -> str:
    """``via`` has advisories, and names of packages through which the package is vulnerable."""
    causes = [cause if isinstance(cause, str) else cause.get("url") or cause.get("title") for cause in found["via"]]
    fixed = "can be fixed" if found.get("fixAvailable") else "no fix"
    return f"{name} {found['range']}: {found['severity']}, by {', '.join(map(str, causes))}, {fixed}"


def audit_npm() -> int:
    """Print the known vulnerabilities of the npm packages and return their number."""
    count = 0
    for name in NPM_DIRECTORIES:
        found = npm_vulnerabilities(npm_report(ROOT / name))
        if found is None:
            print(f"audit: npm's advisory service did not answer for {name}; it was not checked", file=sys.stderr)
            continue
        for line in found:
            print(f"audit: {name}: {line}")
        print(f"audit: {name}: {len(found)} npm packages with known vulnerabilities")
        count += len(found)
    return count


if __name__ == "__main__":
    sys.exit(1 if audit_python() + audit_npm() else 0)
