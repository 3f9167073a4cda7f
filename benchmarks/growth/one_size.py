"""Fill a database, if it is not filled yet, measure each call, and write the timings to a JSON file.

A process of its own for each size, so that neither finds what the other has left in memory.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import asdict
from pathlib import Path

import django
import psutil

django.setup()

from django.core.management import call_command  # noqa: E402  after the set-up

from benchmarks.growth import fill, measured  # noqa: E402
from windlass.kernel.garbage_collection import exempt_what_is_loaded  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, required=True)
    parser.add_argument("--rounds", type=int, required=True, help="0: only fill")
    parser.add_argument("--filled", type=Path, required=True, help="file that says that the database is filled")
    parser.add_argument("--timings", type=Path, required=True, help="file to write")
    parser.add_argument("--server", type=int, help="process id of the database's server, if there is one")
    options = parser.parse_args()
    call_command("migrate", verbosity=0)
    if not options.filled.exists():
        began = time.perf_counter()
        fill.fill(options.files)
        options.filled.touch()
        print(f"{options.files:,} files after {time.perf_counter() - began:.0f} s", file=sys.stderr)
    if options.rounds:
        server = psutil.Process(options.server) if options.server else None
        calls = measured.calls(options.files)
        exempt_what_is_loaded()  # as a web process and the scheduler do
        timings = measured.measure(calls, measured.preparations(), options.rounds, server)
        options.timings.write_text(json.dumps({name: asdict(timing) for name, timing in timings.items()}))


if __name__ == "__main__":
    main()
