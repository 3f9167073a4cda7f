"""The sandbox capability level of a machine is tried and reported, and ``SANDBOX=require`` needs the full level."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require
from windlass.processing.sandbox.capability_level import measure

LACKING = Path(__file__).parent / "without_system_calls.py"
NO_LANDLOCK = "Landlock (Linux 5.13 or newer, enabled) does not close the file system"
NO_SECCOMP = "seccomp does not close the system calls"
READY = """
import asyncio, json, django
django.setup()
from windlass.operations import health
print(json.dumps(asyncio.run(health.readiness())))
"""


@pytest.fixture(scope="module", autouse=True)
def full() -> None:
    require(measure("best-effort").name == "full", "this machine does not have both Landlock and seccomp")


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A database of its own, because `windlass check` reports rows that other tests have left."""
    home = tmp_path_factory.mktemp("level")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WINDLASS_HOME", str(home))
        assert windlass("", "migrate").returncode == 0
        yield home


def run(lacking: str, *command: str, **settings: str) -> subprocess.CompletedProcess[str]:
    wrapped = [sys.executable, str(LACKING), lacking, *command] if lacking else command
    return subprocess.run(wrapped, env=os.environ | settings, capture_output=True, text=True, timeout=120, check=False)


def windlass(lacking: str, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return run(lacking, sys.executable, "-m", "windlass", *words, **settings)


def _row(checked: subprocess.CompletedProcess[str]) -> str:
    return next(line for line in checked.stdout.splitlines() if " sandbox " in line)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lacking", "mode", "row"),
    [
        ("", "require", "ok      sandbox      full: Landlock "),
        ("landlock", "best-effort", f"ok      sandbox      partial: seccomp, limits. {NO_LANDLOCK}."),
        ("landlock", "require", f"failed  sandbox      partial: seccomp, limits. {NO_LANDLOCK}."),
        ("seccomp", "require", f"limits. {NO_SECCOMP}."),
        ("landlock,seccomp", "best-effort", f"ok      sandbox      basic: limits. {NO_LANDLOCK}; {NO_SECCOMP}."),
        ("", "off", "ok      sandbox      off: limits. SANDBOX is off"),
    ],
)
def test_check_reports_the_capability_level(database: Path, lacking: str, mode: str, row: str) -> None:
    checked = windlass(lacking, "check", SANDBOX=mode)
    assert row in _row(checked)
    assert checked.returncode == (1 if _row(checked).startswith("failed") else 0), checked.stdout


@pytest.mark.slow
@pytest.mark.parametrize("command", ["web", "worker", "serve"])
def test_processes_refuse_to_start_without_the_required_lockdown(database: Path, command: str) -> None:
    port = [] if command == "worker" else ["--port", "0"]
    refused = windlass("landlock", command, *port, SANDBOX="require")
    assert refused.returncode == 2
    assert refused.stderr.startswith(
        "windlass: SANDBOX is require, and this machine gives no more than the level partial"
    )
    assert NO_LANDLOCK in refused.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lacking", "mode", "status"),
    [("", "require", "ok"), ("seccomp", "best-effort", "impaired"), ("seccomp", "require", "failed")],
)
def test_readiness_fails_only_if_lockdown_is_required(database: Path, lacking: str, mode: str, status: str) -> None:
    result = run(lacking, sys.executable, "-c", READY, SANDBOX=mode)
    checks = json.loads(result.stdout.splitlines()[-1])["checks"]
    assert checks["sandbox"]["status"] == status, result.stderr
    assert (NO_SECCOMP in checks["sandbox"]["detail"]) == bool(lacking)


@pytest.mark.slow
def test_check_warns_if_the_sandbox_is_off(database: Path) -> None:
    assert "SANDBOX is off: a file that exploits a parser" in windlass("", "check", SANDBOX="off").stdout
