"""Fail on a known vulnerability in constraints.txt.

An advisory service that cannot be reached, or does not know a package, is said and not failed: it is no fault of the
change under test, and the next run asks again.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


def ask() -> list[dict[str, Any]]:
    """What pip-audit found for each pinned package; nothing if it could not ask at all."""
    with tempfile.TemporaryDirectory() as scratch:
        report = Path(scratch, "report.json")
        command = [sys.executable, "-m", "pip_audit", "--requirement", str(ROOT / "constraints.txt"), "--no-deps"]
        command += ["--disable-pip", "--progress-spinner", "off", "--format", "json", "--output", str(report)]
        # It leaves with 1 for a finding and for a failure alike, but writes its report only when it could ask.
        subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
        return json.loads(report.read_text())["dependencies"] if report.exists() else []


def main() -> int:
    packages = ask()
    asked = [package for package in packages if "skip_reason" not in package]
    found = [(package, flaw) for package in asked for flaw in package["vulns"]]
    for package, flaw in found:
        fixed = ", ".join(flaw["fix_versions"]) or "no release"
        print(f"audit: {package['name']} {package['version']}: {flaw['id']}, fixed in {fixed}")
    print(f"audit: {len(asked)} of {len(packages)} pinned packages looked up, {len(found)} known vulnerabilities")
    if len(asked) < len(packages) or not packages:
        print("audit: the advisory service did not answer for the rest, which went unchecked", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
