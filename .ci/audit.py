"""Fail on a known vulnerability in constraints.txt.

If the advisory service cannot be reached or does not know a package, that is reported but is no failure: the change
under test did not cause it, and the next run asks again.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def look_up_packages() -> list[dict[str, Any]]:
    """Return pip-audit's result for each pinned package, or nothing if the service did not answer at all."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt"), "--no-deps"]
        command += ["--disable-pip", "--progress-spinner", "off", "--format", "json", "--output", str(report)]
        # The exit code is 1 for a finding and for a failure alike; a report is written only when the service answered.
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return json.loads(report.read_text())["dependencies"] if report.exists() else []


def main() -> int:
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
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
