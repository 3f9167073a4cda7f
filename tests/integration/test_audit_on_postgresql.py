"""Tests of the audit log, of owners' data and of operations, on PostgreSQL: its triggers, its JSON, its locks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
MODULES = (HERE / "test_audit.py", HERE / "test_owner_data.py", HERE / "test_operations_calls.py")


@pytest.mark.slow
def test_audit_log_owners_data_and_operations_are_the_same_on_postgresql(migrated_postgres: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, MODULES)],
        env=os.environ | {"DATABASE_URL": migrated_postgres},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-4000:]
