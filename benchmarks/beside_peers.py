"""The table of the README that compares Windlass with its peers, from the newest result. ``make docs`` writes it."""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
#: The workload, its figure, how many digits, and the heading, which names the unit.
COLUMNS = (
    ("single", "mib_per_second", 0, "one upload of 1 GiB, MiB/s"),
    ("single", "server_cpu_per_gib", 2, "CPU s/GiB"),
    ("parallel", "mib_per_second", 0, "32 uploads at once, MiB/s"),
    ("parallel", "server_cpu_per_gib", 2, "CPU s/GiB"),
    ("small", "files_per_second", 0, "small files/s"),
    ("download", "mib_per_second", 0, "one download of 1 GiB, MiB/s"),
)
#: The dialects of a server that are compared: the one that resumes, or the only one that it has.
COMPARED = ("tus", "tus, 16 MiB a PATCH", "PUT")


def markdown() -> str:
    """The newest result that has a peer, as a table of medians with a line of what was measured where."""
    path, result = newest(sorted(RESULTS.glob("*.json")))
    columns = [column for column in COLUMNS if _rows(result, column[0])]
    servers = list(dict.fromkeys(key for column in columns for key in _rows(result, column[0])))
    rounds = "one round" if result["rounds"] == 1 else f"the medians of {result['rounds']} rounds"
    lines = [
        f"Measured on {result['date']}, {rounds}, clients and servers on one machine "
        f"({result['machine']['processor']}). "
        f"[All results](benchmarks/results/{path.stem}.md), [how they are measured](benchmarks/README.md).",
        "",
        f"| server | {' | '.join(title for *_, title in columns)} |",
        "|---|" + "--:|" * len(columns),
    ]
    for server in servers:
        cells = [_cell(_rows(result, workload).get(server, []), key, digits) for workload, key, digits, _ in columns]
        lines.append(f"| {_name(server, result['versions'])} | {' | '.join(cells)} |")
    return "\n".join(lines)


def newest(paths: Sequence[Path]) -> tuple[Path, dict[str, Any]]:
    """The last of the results, whose names begin with their dates, that compares a peer of Windlass in one upload."""
    for path in reversed(paths):
        result: dict[str, Any] = json.loads(path.read_text())
        servers = {peer for peer, _ in _rows(result, "single")}
        if any(name.startswith("Windlass") for name in servers) and any(
            not name.startswith("Windlass") for name in servers
        ):
            return path, result
    raise LookupError("no result compares a peer")


def _rows(result: Mapping[str, Any], workload: str) -> dict[tuple[str, str], list[dict[str, float]]]:
    """The samples of each server and dialect that is compared. Results of other benchmarks have no tables."""
    tables = [table for table in result.get("tables", ()) if table["key"] == workload]
    rows = [row for table in tables for row in table["rows"] if row["dialect"] in COMPARED and row["samples"]]
    return {(row["peer"], row["dialect"]): row["samples"] for row in rows}


def _cell(samples: Sequence[Mapping[str, float]], key: str, digits: int) -> str:
    return f"{statistics.median(sample[key] for sample in samples):.{digits}f}" if samples else "-"


def _name(server: tuple[str, str], versions: Mapping[str, str]) -> str:
    name, dialect = server
    version = "" if name.startswith("Windlass") else f" {versions[name].split(',')[0].removeprefix('v')}"
    return f"{name}{version}, {dialect}"
