"""The tests of the search by vectors, on PostgreSQL with pgvector."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import services

HERE = Path(__file__).parent


def run_tests(url: str, *selected: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *selected],
        env=os.environ | {"DATABASE_URL": url},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.slow
def test_search_by_vectors_is_the_same_with_pgvector(pgvector_server: services.Postgres) -> None:
    run = run_tests(pgvector_server.new_database(), str(HERE / "test_vector_search.py"))
    assert run.returncode == 0, run.stdout[-4000:]
