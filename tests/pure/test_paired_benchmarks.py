"""The order of a paired run of the benchmarks, and its ratios. tests/process/test_benchmarks.py makes a real run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from benchmarks import __main__ as benchmarks
from benchmarks.report import Report, Row


@dataclass(frozen=True)
class Named:
    name: str


def test_each_round_measures_every_peer_once_and_has_a_ratio_of_each_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []

    def sample(_result: Report, _workload: Any, peer: Any, row: Row, _scratch: Path) -> Row:
        measured.append(peer.name)
        row.samples.append({"speed": 100.0 / len(measured)})
        return row

    monkeypatch.setattr(benchmarks, "_sample", sample)
    columns = (SimpleNamespace(key="speed"),)
    workload: Any = SimpleNamespace(key="any", title="Load", columns=columns, comparable=lambda _peer: ["tus"])
    peers: Any = [Named(name) for name in ("ours", "one", "two")]
    result = Report("2026-01-01", 2, {}, {}, {})
    rows = benchmarks._measure_in_pairs(result, workload, peers, Path())
    assert measured == ["ours", "one", "two"] * 2
    assert [len(row.samples) for row in rows] == [2, 2, 2]
    assert {pair: [round(ratio, 3) for ratio in ratios] for pair, ratios in result.ratios.items()} == {
        "Load: ours, tus / one, tus": [2.0, 1.25],
        "Load: ours, tus / two, tus": [3.0, 1.5],
    }
