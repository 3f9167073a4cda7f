"""The order of a paired run of the benchmarks, and its ratios. tests/process/test_benchmarks.py makes a real run."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.report import Report, Row


def test_each_round_measures_the_first_peer_before_each_other_and_has_a_ratio(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def sample(_result: Report, _workload: Any, peer: Any, row: Row, _scratch: Path) -> Row:
        measured.append(peer.name)
        row.samples.append({"speed": 100.0 / len(measured)})
        return row

    monkeypatch.setattr(benchmarks, "_sample", sample)
    columns = (SimpleNamespace(key="speed"),)
    workload: Any = SimpleNamespace(key="any", title="Load", columns=columns, dialects=lambda _peer: ["tus", "raw"])
    peers: Any = [SimpleNamespace(name=name) for name in ("ours", "one", "two")]
    result = Report("2026-01-01", 2, {}, {}, {})
    rows = benchmarks._measure_in_pairs(result, workload, peers, Path())
    assert measured == ["ours", "one", "ours", "two"] * 2
    assert [len(row.samples) for row in rows] == [4, 2, 2]
    assert {pair: [round(ratio, 3) for ratio in ratios] for pair, ratios in result.ratios.items()} == {
        "Load: ours, tus / one, tus": [2.0, 1.2],
        "Load: ours, tus / two, tus": [1.333, 1.143],
    }
