"""`make bench` works: a small version of it, with our own server only."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import require

pytestmark = pytest.mark.timeout(450)
ROOT = Path(__file__).resolve().parent.parent.parent


RUNS = [
    ("windlass-os", "parallel,download,ready"),
    ("windlass-os", "mixed,kinds,sandbox"),
    ("windlass-s3,windlass-accel", "download,s3-single"),
]


@pytest.mark.parametrize(("peers", "loads"), RUNS)
def test_a_small_run_leaves_figures_tables_and_a_plot(tmp_path: Path, peers: str, loads: str) -> None:
    require(importlib.util.find_spec("matplotlib"), "the extra `bench` is not installed (`make bench` does it)")
    command = [sys.executable, "-m", "benchmarks", "--quick", f"--peers={peers}", "--label=test"]
    command += [f"--workloads={loads}", f"--output={tmp_path}", f"--scratch={tmp_path}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert run.returncode == 0, run.stdout + run.stderr

    (data,) = tmp_path.glob("*-test.json")
    result = json.loads(data.read_text())
    shown = data.with_suffix(".md").read_text()
    assert [table["key"] for table in result["tables"]] == loads.split(",")
    for table in result["tables"]:
        assert f"## {table['title']}" in shown
        for row in table["rows"]:
            (sample,) = row["samples"]
            # The kernel counts processor time in hundredths of a second: a small run may take none.
            figures = {column["key"]: sample[column["key"]] for column in table["columns"]}
            assert all(figure > 0 or (figure == 0 and "cpu" in name) for name, figure in figures.items()), figures
    assert data.with_suffix(".svg").stat().st_size > 1000
    assert str(tmp_path) not in data.read_text() + shown, "a result names nobody's directories"
    assert list(tmp_path.glob("bench-*")) == [], "what was uploaded is gone"
