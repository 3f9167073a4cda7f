"""Write the results: all samples as JSON, a table for each workload, and a plot."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from benchmarks.workloads.base import Column


@dataclass(frozen=True)
class Row:
    """One peer and dialect: every figure of every round."""

    peer: str
    dialect: str
    samples: list[dict[str, float]] = field(default_factory=list)
    problem: str = ""

    @property
    def label(self) -> str:
        return f"{self.peer}, {self.dialect}"

    def values(self, key: str) -> list[float]:
        return [sample[key] for sample in self.samples]


@dataclass(frozen=True)
class Table:
    """One workload's rows."""

    key: str
    title: str
    description: str
    columns: Sequence[Column]
    more_is_better: bool
    rows: list[Row] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    date: str
    rounds: int
    machine: dict[str, str]
    versions: dict[str, str]
    skipped: dict[str, str]
    startup_seconds: dict[str, list[float]] = field(default_factory=dict)
    tables: list[Table] = field(default_factory=list)
    #: Of each pair that was measured one after the other: the first one's figure divided by the other's.
    ratios: dict[str, list[float]] = field(default_factory=dict)


def write(report: Report, directory: Path, name: str) -> list[Path]:
    """Write NAME.json (every sample), NAME.md (the medians) and NAME.svg; return their paths."""
    directory.mkdir(parents=True, exist_ok=True)
    data, text, plot = (directory / f"{name}.{suffix}" for suffix in ("json", "md", "svg"))
    measured = [table for table in report.tables if any(row.samples for row in table.rows)]
    data.write_text(json.dumps(asdict(report), indent=1) + "\n")
    text.write_text(markdown(report, plot.name))
    if measured:
        _plot(measured, plot)
    return [path for path in (data, text, plot) if path.exists()]


def markdown(report: Report, plot: str) -> str:
    lines = [f"# Benchmarks of {report.date}", ""]
    lines += [f"Medians of {report.rounds} rounds (lowest to highest). How to read this: [README](../README.md).", ""]
    lines += [f"- {name}: {value}" for name, value in report.machine.items()]
    lines += [f"- {name}: {version}" for name, version in report.versions.items()]
    lines += [f"- {name}: left out, {reason}" for name, reason in report.skipped.items()]
    lines += ["", f"![The same as bars]({plot})", ""]
    for table in report.tables:
        lines += [f"## {table.title}", "", f"{table.description[0].upper()}{table.description[1:]}.", ""]
        lines += [*_table(table), ""]
    if report.ratios:
        lines += ["## In pairs", "", "Each measured directly before the other.", "", "| | times as much |", "|---|--:|"]
        lines += [f"| {pair} | {_cell(ratios, 2)} |" for pair, ratios in report.ratios.items()] + [""]
    lines += ["## From start to the first answer", "", "| | s |", "|---|--:|"]
    lines += [f"| {peer} | {_cell(seconds, 2)} |" for peer, seconds in report.startup_seconds.items()]
    return "\n".join(lines) + "\n"


def _table(table: Table) -> list[str]:
    titles = " | ".join(column.title for column in table.columns)
    lines = [f"| | {titles} |", "|---|" + "--:|" * len(table.columns)]
    for row in table.rows:
        cells = [_cell(row.values(column.key), column.digits) for column in table.columns]
        if not row.samples:
            cells = [row.problem] + [""] * (len(table.columns) - 1)
        lines.append(f"| {row.label} | {' | '.join(cells)} |")
    return lines


def _cell(values: Sequence[float], digits: int) -> str:
    if not values:
        return ""
    median = f"{statistics.median(values):.{digits}f}"
    spread = f" ({min(values):.{digits}f}-{max(values):.{digits}f})"
    return median + (spread if len(values) > 1 else "")


def _plot(tables: Sequence[Table], path: Path) -> None:
    import matplotlib as mpl  # here, because only a finished run needs it

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "windlass"  # the same figures give the same file
    mpl.rcParams["svg.fonttype"] = "none"  # text stays text, which is a fifth of the bytes
    from matplotlib import pyplot

    heights = [1.2 + 0.32 * len(table.rows) for table in tables]
    figure, panels = pyplot.subplots(
        len(tables), 1, figsize=(9, sum(heights)), height_ratios=heights, squeeze=False, layout="constrained"
    )
    for table, axes in zip(tables, panels[:, 0], strict=True):
        rows = [row for row in table.rows if row.samples]
        values = [row.values(table.columns[0].key) for row in rows]
        medians = [statistics.median(each) for each in values]
        below = [median - min(each) for median, each in zip(medians, values, strict=True)]
        above = [max(each) - median for median, each in zip(medians, values, strict=True)]
        colours = ["#c2410c" if row.peer.startswith("Windlass") else "#64748b" for row in rows]
        bars = axes.barh([row.label for row in rows], medians, xerr=[below, above], color=colours, ecolor="#0f172a")
        axes.bar_label(bars, fmt=f"%.{table.columns[0].digits}f", padding=4, fontsize=8)
        axes.invert_yaxis()
        axes.margins(x=0.12)
        axes.spines[["top", "right"]].set_visible(False)
        better = "more is better" if table.more_is_better else "less is better"
        axes.set_title(f"{table.title}: {table.columns[0].title} ({better})", loc="left", fontsize=10)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)
