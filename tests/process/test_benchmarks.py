"""`make bench` works: a small version of it, with our own server only."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import require

pytestmark = pytest.mark.timeout(450)
ROOT = Path(__file__).resolve().parent.parent.parent


RUNS = [
    ("windlass-os", "parallel,ready"),
    ("windlass-os", "mixed,kinds,sandbox"),
    ("windlass-s3,windlass-accel", "download,s3-single"),
]


def _result(directory: Path, peers: str, loads: str, *options: str) -> Path:
    """The JSON of a quick run."""
    require(importlib.util.find_spec("matplotlib"), "the extra `bench` is not installed (`make bench` does it)")
    command = [sys.executable, "-m", "benchmarks", "--quick", f"--peers={peers}", "--label=test", *options]
    command += [f"--workloads={loads}", f"--output={directory}", f"--scratch={directory}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (data,) = directory.glob("*-test.json")
    return data


def test_a_paired_run_has_the_ratio_of_each_pair(tmp_path: Path) -> None:
    """Of each round: tests/pure/test_paired_benchmarks.py."""
    data = _result(tmp_path, "windlass-strict,windlass-os", "single", "--paired")
    ((pair, ratios),) = json.loads(data.read_text())["ratios"].items()
    assert pair == "One large upload: Windlass (strict), tus / Windlass (os), tus"
    (table,) = json.loads(data.read_text())["tables"]
    ours, theirs = ([sample["mib_per_second"] for sample in row["samples"]] for row in table["rows"])
    assert ratios == [mine / other for mine, other in zip(ours, theirs, strict=True)]
    assert f"| {pair} |" in data.with_suffix(".md").read_text()


@pytest.mark.parametrize(("peers", "loads"), RUNS)
def test_a_small_run_leaves_figures_tables_and_a_plot(tmp_path: Path, peers: str, loads: str) -> None:
    data = _result(tmp_path, peers, loads)
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


def test_the_pages_are_measured(tmp_path: Path) -> None:
    require(importlib.util.find_spec("matplotlib"), "the extra `bench` is not installed (`make bench` does it)")
    require(shutil.which("chromium"), "chromium is not on PATH")
    command = [sys.executable, "-m", "benchmarks.pages", "--quick", "--label=test", f"--output={tmp_path}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=400, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    (data,) = tmp_path.glob("*-test.json")
    loading, scrolling = json.loads(data.read_text())["tables"]
    for row in loading["rows"]:
        (sample,) = row["samples"]
        assert sample["largest_paint"] >= sample["first_paint"] > 0, row
        assert sample["bytes"] > 5, row
    (sample,) = scrolling["rows"][0]["samples"]
    assert 0 < sample["elements"] < 100, "only what is near the screen is in the page"
    assert sample["frames"] > 10
