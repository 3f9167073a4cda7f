"""Measure how calls slow down as the number of files grows.

``python -m benchmarks.growth --database postgresql --files 1000000`` fills a new database with 10,000 files, measures
each call, fills it up to ``--files``, and measures again. For each file there are a blob, a job, three steps and ten
events, and for each ten files an open upload. Writes a table to ``benchmarks/results``. PostgreSQL is started with the
settings of its package; SQLite is that of ``windlass serve``.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

from benchmarks import machine
from tests import services

RESULTS = Path(__file__).parents[1] / "results"
SMALL = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--files", type=int, default=200_000, help="files at the end (default: 200,000)")
    parser.add_argument("--rounds", type=int, default=15, help="times that each call is measured (default: 15)")
    parser.add_argument("--write", action="store_true", help="write the table to benchmarks/results")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="windlass-growth-") as home, ExitStack() as stack:
        os.environ |= {"WINDLASS_HOME": home, "DJANGO_SETTINGS_MODULE": "windlass.settings", "LOG_LEVEL": "warning"}
        if options.database == "postgresql":
            programs = services.find_postgres()
            if programs is None:
                sys.exit("PostgreSQL must be installed.")
            os.environ["DATABASE_URL"] = stack.enter_context(services.postgres(programs)).new_database()
        text = _run(options, Path(home))
    print(text)
    if options.write:
        name = f"{date.today():%Y-%m-%d}-growth-{options.database}.md"
        (RESULTS / name).write_text(text)


def _run(options: argparse.Namespace, home: Path) -> str:
    import django

    django.setup()
    from django.core.management import call_command

    from benchmarks.growth import fill, measured

    call_command("migrate", verbosity=0)
    timings: list[Mapping[str, measured.Timing]] = []
    filled = 0
    for size in (SMALL, options.files):
        began = time.perf_counter()
        fill.grow(filled, size)
        print(f"{size:,} files after {time.perf_counter() - began:.0f} s", file=sys.stderr)
        filled = size
        timings.append(measured.measure(measured.calls(size), options.rounds))
    return _table(options, machine.describe(home), *timings)


def _table(
    options: argparse.Namespace, described: Mapping[str, str], small: Mapping[str, Any], large: Mapping[str, Any]
) -> str:
    lines = [
        f"# Growth in {options.database}, {date.today():%Y-%m-%d}",
        "",
        f"`python -m benchmarks.growth --database {options.database} --files {options.files}`. Milliseconds: the "
        f"median of {options.rounds} calls, the 95th percentile, and the median of the processor time, the database's "
        "included.",
        "",
        *(f"- {name}: {value}" for name, value in described.items()),
        "",
        f"| | {SMALL:,} files | CPU | {options.files:,} files | 95th | CPU | times | CPU, times |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, after in large.items():
        before = small[name]
        figures = (before.median, before.cpu, after.median, after.p95, after.cpu)
        ratios = (after.median / before.median, after.cpu / before.cpu)
        lines.append(f"| {name} | {' | '.join(f'{figure:.1f}' for figure in (*figures, *ratios))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
