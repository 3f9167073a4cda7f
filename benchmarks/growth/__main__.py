"""Measure how calls slow down as the number of files grows.

``python -m benchmarks.growth --database postgresql --files 1000000`` fills a database with 10,000 files and one with
``--files``, and measures each call in both. For each file there are a blob, a job, three steps and ten events, and for
each ten files an open upload. Prints a table; ``--write`` writes it to ``benchmarks/results``. ``--keep DIR`` keeps the
filled databases, so that the next run only measures. PostgreSQL is started with the settings of its package; SQLite is
that of ``windlass serve``.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from datetime import date
from pathlib import Path
from typing import Any

import psycopg

from benchmarks import machine
from tests import services

RESULTS = Path(__file__).parents[1] / "results"
SMALL = 10_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__)
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("--files", type=int, default=200_000, help="files at the end (default: 200,000)")
    parser.add_argument("--rounds", type=int, default=15, help="times that each call is measured (default: 15)")
    parser.add_argument("--keep", type=Path, help="directory in which the filled databases stay")
    parser.add_argument("--only-fill", action="store_true", help="measure nothing")
    parser.add_argument("--write", action="store_true", help="write the table to benchmarks/results")
    options = parser.parse_args()
    with ExitStack() as stack:
        directory = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="windlass-growth-")))
        described = machine.describe(directory)
        server = None
        if options.database == "postgresql":
            programs = services.find_postgres()
            if programs is None:
                sys.exit("PostgreSQL must be installed.")
            server = stack.enter_context(services.postgres(programs, options.keep and options.keep / "postgresql"))
        timings = [_timings(options, size, directory, server) for size in (SMALL, options.files)]
    if options.only_fill:
        return
    text = _table(options, described, *timings)
    print(text)
    if options.write:
        (RESULTS / f"{date.today():%Y-%m-%d}-growth-{options.database}.md").write_text(text)


def _timings(
    options: argparse.Namespace, size: int, directory: Path, server: services.Postgres | None
) -> Mapping[str, Mapping[str, float]]:
    """Of each call by name: ``median``, ``p95`` and ``cpu``. Fills the database of this size if need be."""
    home = directory / f"{options.database}-{size}"
    home.mkdir(parents=True, exist_ok=True)
    environment = {"WINDLASS_HOME": str(home), "DJANGO_SETTINGS_MODULE": "windlass.settings", "LOG_LEVEL": "warning"}
    command = [sys.executable, "-m", "benchmarks.growth.one_size", "--files", str(size)]
    command += ["--rounds", str(0 if options.only_fill else options.rounds)]
    command += ["--filled", str(home / "filled"), "--timings", str(home / "timings.json")]
    if server is not None:
        environment["DATABASE_URL"] = _database(server, f"growth_{size}")
        assert server.program.process is not None
        command += ["--server", str(server.program.process.pid)]
    subprocess.run(command, env=os.environ | environment, check=True)
    timings: Mapping[str, Mapping[str, float]] = {}
    return timings if options.only_fill else json.loads((home / "timings.json").read_text())


def _database(server: services.Postgres, name: str) -> str:
    with psycopg.connect(server.url("postgres"), autocommit=True) as connection:
        if not connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]).fetchone():
            connection.execute(f'CREATE DATABASE "{name}"')
    return server.url(name)


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
        figures = (before["median"], before["cpu"], after["median"], after["p95"], after["cpu"])
        ratios = (after["median"] / before["median"], after["cpu"] / before["cpu"])
        lines.append(f"| {name} | {' | '.join(f'{figure:.1f}' for figure in (*figures, *ratios))} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
