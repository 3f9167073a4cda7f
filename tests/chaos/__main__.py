"""Play seeded faults against a real server with clients of every dialect. ``make chaos`` calls this.

Prints each fault with the time of recovery. If something did not hold, the list of faults is reduced to a shortest one
that still fails, and the command that replays it is printed. The exit code is then 1.
"""

from __future__ import annotations

import argparse
import json
import signal
import statistics
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.chaos.faults import KINDS, Fault, choose
from tests.chaos.play import RECOVERY_SECONDS, THINK_SECONDS, Course, Report, play
from tests.chaos.shrink import shrink
from tests.chaos.system import MODES, Missing, System

#: How often a shorter list is played before it counts as one that holds: what it meets depends on the timing.
TRIES = 2


def main() -> int:
    asked = _arguments()
    asked.course = Course(
        asked.recovery, asked.think, asked.kills, _stop_on_signals(), lambda each: _write(asked, each)
    )
    try:
        report = _play(asked)
    except Missing as error:
        print(f"{asked.mode}: {error}.", file=sys.stderr)
        return 2
    _summarize(report)
    _write(asked, report)
    if not report.violations:
        return 0
    faults = _played(asked, report)
    if asked.shrink and len(faults) > 1:
        print(f"Reducing {len(faults)} faults; each try plays a part of them.")
        faults = shrink(faults, lambda part: _fails(asked, part))
    listed = " ".join(map(str, faults))
    print(f'Replay it: make chaos MODE={asked.mode} SEED={asked.seed} FAULTS="{listed}"')
    return 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--mode", choices=MODES, default="embedded", help="the services of the server (embedded)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults and the clients (1)")
    parser.add_argument("--rounds", type=int, default=20, help="how many faults (20)")
    parser.add_argument("--faults", default="", help="these faults instead, such as 'kill-web:7 kill-broker:9'")
    parser.add_argument("--only", nargs="*", default=(), choices=list(KINDS), help="only these kinds of faults")
    parser.add_argument("--recovery", type=float, default=RECOVERY_SECONDS, help="seconds that are allowed for it (60)")
    parser.add_argument("--kills", type=int, help="end once so many processes were killed")
    parser.add_argument("--think", type=float, default=THINK_SECONDS, help="seconds between two files of a client (1)")
    parser.add_argument("--no-shrink", dest="shrink", action="store_false", help="do not reduce a list that fails")
    parser.add_argument("--results", type=Path, help="file for the figures, as JSON")
    return parser.parse_args()


def _play(asked: argparse.Namespace) -> Report:
    def say(text: str) -> None:
        print(text, flush=True)

    if asked.faults:
        return play(asked.mode, _listed(asked), asked.seed, say, asked.course)
    return play(asked.mode, lambda system: _chosen(asked, system), asked.seed, say, asked.course)


def _stop_on_signals() -> threading.Event:
    """Set by the first SIGTERM or SIGINT: the run ends after the present fault, and is verified. A second one ends it
    at once."""
    stopping = threading.Event()

    def stop(number: int, _: object) -> None:
        if stopping.is_set():
            raise KeyboardInterrupt
        stopping.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    return stopping


def _write(asked: argparse.Namespace, report: Report) -> None:
    if asked.results is not None:
        asked.results.write_text(json.dumps({"seed": asked.seed} | report.document(), indent=2) + "\n")


def _listed(asked: argparse.Namespace) -> list[Fault]:
    return [Fault.parse(text) for text in asked.faults.split()]


def _chosen(asked: argparse.Namespace, system: System) -> list[Fault]:
    asked.chosen = choose(asked.seed, asked.rounds, asked.mode, has_disk=system.disk is not None, among=asked.only)
    return list(asked.chosen)


def _played(asked: argparse.Namespace, report: Report) -> list[Fault]:
    """The faults up to the one after which something did not hold."""
    listed = _listed(asked) if asked.faults else list(asked.chosen)
    return listed[: report.faults + 1]


def _fails(asked: argparse.Namespace, part: Sequence[Fault]) -> bool:
    course = Course(asked.recovery, asked.think)
    reports = (play(asked.mode, part, asked.seed, lambda _: None, course) for _ in range(TRIES))
    found = any(report.violations for report in reports)
    print(f"{len(part)} faults: {'fails' if found else 'holds'}", flush=True)
    return found


def _summarize(report: Report) -> None:
    print(f"{report.mode}: {report.faults} faults with {report.kills} kills in {report.seconds:.0f} s")
    for name, times in sorted(report.recoveries.items()):
        median = statistics.median(times)
        print(f"  {name:24} {len(times):5}   recovery: median {median:.1f} s, longest {max(times):.1f} s")
    print("  " + ", ".join(f"{name}: {count}" for name, count in report.counts.items()))
    for text in report.violations:
        print(f"VIOLATION {text}")


if __name__ == "__main__":
    sys.exit(main())
