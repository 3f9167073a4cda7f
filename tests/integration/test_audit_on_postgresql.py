"""The tests of the audit log and of owners' data, on PostgreSQL: its triggers, its JSON, its locks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent


@pytest.mark.slow
def test_the_audit_log_is_the_same_on_postgresql(postgres: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(HERE / "test_audit.py")],
        env=os.environ | {"DATABASE_URL": postgres},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-4000:]
