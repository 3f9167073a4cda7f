"""The tests of the audit log and of owners' data, on PostgreSQL: its triggers, its JSON, its locks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULES = (HERE / "test_audit.py", HERE / "test_owner_data.py")


@pytest.mark.slow
def test_the_audit_log_and_owners_data_are_the_same_on_postgresql(postgres: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, MODULES)],
        env=os.environ | {"DATABASE_URL": postgres},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-4000:]
