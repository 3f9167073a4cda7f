"""The tests of the search, of indexing and of the graph, on PostgreSQL: its tsvector, its GIN index."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
PROCESSING = HERE / "processing"
MODULES = (
    HERE / "test_text_search.py",
    HERE / "test_graph_calls.py",
    PROCESSING / "test_index.py",
    PROCESSING / "test_graph.py",
)


@pytest.mark.slow
def test_search_indexing_and_graph_are_the_same_on_postgresql(migrated_postgres: str) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *map(str, MODULES)],
        env=os.environ | {"DATABASE_URL": migrated_postgres},
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert run.returncode == 0, run.stdout[-4000:]
